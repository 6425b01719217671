"""The UID file of a portion: a line for each record that the receiving server acknowledged.

Lines are written as soon as the next request is under way, or half as many as are sent at once: so a killed process
sends again what was under way, and nothing else but what was just answered. They are forced to disk in groups, so that
a crashed machine sends again the last group at most.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from json.encoder import encode_basestring_ascii
from pathlib import Path

MOST_AHEAD = 10_000
"""How many uids are read ahead while one is looked for: records are acknowledged nearly in their order."""


class UidFile:
    """One file, which is created when the first record is written.

    Attributes:
        dirty: how many records were written since they were forced to disk.
    """

    def __init__(self, file: Path) -> None:
        """Open it, and cut off a line that is not whole.

        Raises:
            OSError: it cannot be opened.
        """
        self.dirty = 0
        self._file = file
        self._descriptor: int | None = None
        self._end = 0
        with suppress(FileNotFoundError):
            self._descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
            self._end = _whole(self._descriptor)
            os.ftruncate(self._descriptor, self._end)
        self._unsaved = b""
        self._known: Iterator[str] | None = self._read(self._end) if self._end else None
        self._ahead: Counter[str] = Counter()

    def has(self, uid: str) -> bool:
        """Whether a record was acknowledged before the file was opened; to be asked in the order of records."""
        if self._known is None and not self._ahead:
            return False  # as nearly always
        while not self._ahead[uid]:
            if self._known is None or len(self._ahead) > MOST_AHEAD:
                return False
            known = next(self._known, None)
            if known is None:
                self._known = None
            else:
                self._ahead[known] += 1
        self._ahead[uid] -= 1
        if not self._ahead[uid]:
            del self._ahead[uid]
        return True

    def count(self) -> int:
        """How many records were acknowledged before the file was opened; asked once, and not together with ``has``."""
        return sum(1 for _ in self._known or ())

    def add(self, *uids: str) -> None:
        """Records were acknowledged; `save` writes that down."""
        self._unsaved += b"".join(encode_basestring_ascii(uid).encode() + b"\n" for uid in uids)

    def save(self) -> None:
        """Write down what was acknowledged.

        Raises:
            OSError: it cannot be written now. It is not forgotten, and written by the next call.
        """
        if self._unsaved and self._descriptor is None:
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        while self._unsaved and self._descriptor is not None:
            count = os.pwrite(self._descriptor, self._unsaved, self._end)
            self._end += count
            self.dirty += self._unsaved.count(b"\n", 0, count)
            self._unsaved = self._unsaved[count:]

    def force(self) -> None:
        """Force all to disk.

        Raises:
            OSError: it cannot be written.
        """
        self.dirty = 0
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    def remove(self) -> None:
        """Remove the file, whose portion is done."""
        with suppress(FileNotFoundError):
            self._file.unlink()

    def _read(self, end: int) -> Iterator[str]:
        with self._file.open("rb") as opened:
            read = 0
            for line in opened:
                read += len(line)
                if read > end:
                    return
                with suppress(ValueError):  # a crashed machine may leave a block of zeros before the last lines
                    yield json.loads(line)


def _whole(descriptor: int) -> int:
    """How many bytes belong to whole lines."""
    at = os.fstat(descriptor).st_size
    while at > 0:
        low = max(0, at - 4096)
        found = os.pread(descriptor, at - low, low).rfind(b"\n")
        if found >= 0:
            return low + found + 1
        at = low
    return 0
