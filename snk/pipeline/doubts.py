"""Which records of a portion may have been stored although no answer told so.

Only they may take an answer 409 for "stored before": for all others it is a conflict with something else. A record is
in doubt from the moment it is sent until an answer comes, and stays so if none comes. A file beside the UID file keeps
that: while records of a portion are sent it says so, and an orderly end replaces that by the uids in doubt. If a
process was killed, the records that it had sent are among the first that were not acknowledged.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

AFTER_CRASH = 100
"""So many acknowledged records may not be in the UID file after a crash of the machine, beside those under way."""


class Doubts:
    """The records of one portion that are in doubt."""

    def __init__(self, file: Path, slots: int) -> None:
        """Read what is known from before.

        Args:
            file: it need not exist.
            slots: how many records may be under way at once.

        Raises:
            OSError: the file cannot be read.
        """
        self._file = file
        self._uids: set[str] = set()
        self._left = 0
        self._open = False
        with suppress(FileNotFoundError):
            self._read(file.read_bytes(), slots)

    def has(self, uid: str) -> bool:
        """Whether a record is in doubt."""
        return uid in self._uids

    def meet(self, uid: str) -> None:
        """A record is next that was not acknowledged: after a crash, the first of them were perhaps sent."""
        if self._left:
            self._left -= 1
            self._uids.add(uid)

    def start(self) -> None:
        """Say that records are sent from now on, unless that was said before.

        Raises:
            OSError: the file cannot be written.
        """
        if not self._open:
            self._file.write_text(json.dumps(self._told(is_open=True)))
            self._open = True

    def begin(self, uid: str) -> bool:
        """A record is sent; return whether it was in doubt before."""
        before = uid in self._uids
        self._uids.add(uid)
        return before

    def over(self, uids: Iterable[str]) -> None:
        """It is known what became of records."""
        self._uids.difference_update(uids)

    def close(self) -> None:
        """Keep what is in doubt, after an orderly end.

        Raises:
            OSError: the file cannot be written; then it still says that the portion is open.
        """
        if self._uids or self._left:
            self._file.write_text(json.dumps(self._told(is_open=False)))
        else:
            self.remove()

    def remove(self) -> None:
        """Remove the file, whose portion is done."""
        self._file.unlink(missing_ok=True)

    def _told(self, *, is_open: bool) -> dict[str, object]:
        return {"open": is_open, "uids": sorted(self._uids), "left": self._left}

    def _read(self, text: bytes, slots: int) -> None:
        try:
            told = json.loads(text)
            self._uids = set(told["uids"])
            self._left = int(told["left"]) + (slots + AFTER_CRASH if told["open"] else 0)
        except (ValueError, KeyError, TypeError):
            self._left = slots + AFTER_CRASH  # it was being written when a crash came
