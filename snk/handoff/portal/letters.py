"""Dead letters as the pages show them: short in lists, and one with the request that it holds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from snk.core.shown import plain
from snk.errors import SettingsError
from snk.handoff.dead import DeadLetter, DeadLetters, Kept
from snk.handoff.request import BadLine, Codec
from snk.http.client import Request

MOST_BODY_BYTES = 4096
MOST_TARGET = 2000
MOST_DECODED_BYTES = 2**20
"""A longer line is shown as text, and not decoded: a page must not cost more."""
_SECRET = re.compile(r"auth|cookie|token|secret|key|pass|cred|session|sign", re.IGNORECASE)
HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A dead letter in a list."""

    name: str
    letter: DeadLetter

    @property
    def place(self) -> str:
        """Its log and its line."""
        return f"{self.letter.log}:{self.letter.line}"

    @property
    def sent(self) -> int:
        """How often it was sent, as far as it was answered."""
        return max(self.letter.tries, int(self.letter.status is not None))


@dataclass(frozen=True, slots=True)
class Group:
    """The newest dead letters of one backend.

    Attributes:
        count: how many it has.
        rows: the newest of them.
    """

    backend: str
    count: int
    rows: Sequence[LetterRow]

    @property
    def more(self) -> int:
        """How many are not shown."""
        return max(0, self.count - len(self.rows))


@dataclass(frozen=True, slots=True)
class Said:
    """What the line of a dead letter says.

    Attributes:
        request: what would be sent now; None if there is nothing.
        why: why not.
        target: of the request, cut if it is long.
        headers: of the request; those that may hold a secret are hidden.
        text: the beginning of the body, or of the line if there is no request.
        more: how many bytes follow.
    """

    request: Request | None = None
    why: str = ""
    target: str = ""
    headers: Sequence[tuple[str, str]] = ()
    text: str = ""
    more: int = 0


class Listings:
    """The lists; letters are not read again while the folder of a backend has not changed."""

    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters
        self._read: dict[str, tuple[Kept, list[LetterRow]]] = {}

    def group(self, backend: str, most: int) -> Group:
        """The newest dead letters of a backend."""
        kept = self._letters.kept(backend)
        known = self._read.get(backend)
        if known is None or known[0] is not kept:
            rows = [row for name in kept.newest if (row := self._row(name)) is not None]
            known = self._read[backend] = (kept, rows)
        return Group(backend, kept.count, known[1][:most])

    def _row(self, name: str) -> LetterRow | None:
        """A dead letter; None if it is gone meanwhile, or no letter."""
        try:
            return LetterRow(name, self._letters.head(name))
        except (SettingsError, OSError):
            return None


def said(letters: DeadLetters, row: LetterRow, codec: Codec, now: float) -> Said:
    """What the line of a dead letter says; ``now`` is in seconds since the epoch.

    Raises:
        SettingsError: it is gone.
        OSError: it cannot be read.
    """
    if row.letter.size > MOST_DECODED_BYTES:
        line, why = letters.beginning(row.name, MOST_BODY_BYTES), "The line is too long to be decoded here."
        return Said(None, why, text=_text(line), more=row.letter.size - len(line))
    _, line = letters.get(row.name)
    try:
        request = codec.decode(line).request(now)
    except BadLine as error:
        return Said(None, f"It can never be sent: {error}.", text=_text(line), more=max(0, len(line) - MOST_BODY_BYTES))
    if request is None:
        return Said(None, "Its time to live is over: if it is replayed, it is done without being sent.")
    target = request.target if len(request.target) <= MOST_TARGET else f"{request.target[:MOST_TARGET]} …"
    headers = [(name, HIDDEN if _SECRET.search(name) else value) for name, value in request.headers]
    more = max(0, len(request.body) - MOST_BODY_BYTES)
    return Said(request, "", plain(target), headers, _text(request.body), more)


def _text(data: bytes) -> str:
    """The beginning of bytes as text; what is not printable is escaped, but for the ends of lines."""
    text = data[:MOST_BODY_BYTES].decode("utf-8", "backslashreplace")
    return "\n".join(plain(line) for line in text.split("\n"))
