"""Reads a request as hustdb's servers do: the backend for tests and the front take the same ones. Pure."""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from snk.handoff.codecs.hustdb import BY_PATH, METHODS, TABLE
from snk.handoff.record import Record

_NUMBER = re.compile(rb"-?[0-9]{1,20}")
_RANGES = {"ver": (0, 2**32 - 1), "ttl": (0, 2**32 - 1), "score": (0, 2**64 - 1), "opt": (-128, 127)}
_OPTIONAL = ("ttl", "opt")
MOST_TIME = 2**32 - 1


class Refused(Exception):  # noqa: N818 - it is an answer, not a fault of the program
    """A request that is answered without looking at the data.

    Attributes:
        status: of the answer.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for.

    Attributes:
        record: the write; its time to live is absolute, and its value is the whole body.
        is_dup: whether the write brings its version from elsewhere.
    """

    record: Record
    is_dup: bool


def asked(verb: str, target: str, body: bytes, now: float, *, copy: bool = False) -> Asked:
    """Read a request; the checks are in hustdb's order.

    Args:
        verb: such as ``POST``.
        target: the path with its query, as it came.
        body: the body.
        now: seconds since the epoch.
        copy: whether it counts as one with ``is_dup=true``, whatever it says.

    Raises:
        Refused: 405 for another verb; 404 for an unknown path, or if something is missing; 400 for a bad table.
    """
    path, _, query = target.partition("?")
    number = BY_PATH.get(path)
    if number is None:
        raise Refused(404, f"there is no {path[:80]}")
    method = METHODS[number]
    if verb != ("POST" if method.body else "GET"):
        raise Refused(405, f"{path} takes no {verb}")
    given = _arguments(query)
    is_dup = copy or given.get("is_dup") == b"true"
    optional = _OPTIONAL if is_dup else ("ver", *_OPTIONAL)
    numbers = {name: _number(name, given, optional) for name in _RANGES if name in method.arguments}
    key = body if method.body == "key" else given.get("key", b"")
    for name, text in (("key", key), ("body", body if method.body else b"-")):
        if not text:
            raise Refused(404, f"{name} is missing")
    table = _table(given) if "tb" in method.arguments else b""
    if numbers.get("ttl"):
        numbers["ttl"] = min(int(now) + numbers["ttl"], MOST_TIME)
    return Asked(Record(number, key=key, tb=table, value=body if method.body else b"", **numbers), is_dup)


def _arguments(query: str) -> dict[str, bytes]:
    """The arguments by name, percent-decoded to bytes; a plus sign is a plus sign."""
    pairs = (part.partition(b"=") for part in query.encode(errors="surrogateescape").split(b"&"))
    return {name.decode("latin-1"): unquote_to_bytes(text) for name, _, text in pairs}


def _number(name: str, given: dict[str, bytes], optional: tuple[str, ...]) -> int:
    if name in optional and name not in given:
        return 0
    text = given.get(name, b"")
    least, most = _RANGES[name]
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise Refused(404, f"{name} is missing, or no number from {least} to {most}")
    return int(text)


def _table(given: dict[str, bytes]) -> bytes:
    table = given.get("tb", b"")
    if not table:
        raise Refused(404, "tb is missing")
    if not TABLE.fullmatch(table):
        raise Refused(400, "tb is not 1 to 64 of the characters 0-9 A-Z a-z _ : .")
    return table
