"""One log of a backend, read from its start: only whole lines, each once, whatever is done to the file meanwhile."""

import io
import os
import stat
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from snk.handoff.dead import Region
from snk.handoff.progress import Covered, Progress

CHUNK = 256 * 2**10
TAIL = 256
"""Bytes before the place where reading goes on: if they changed, the file was replaced."""


class Replaced(Exception):  # noqa: N818 - it is a finding, not a fault of the program
    """The file is not the one whose lines were read: it was truncated, or another took its name."""


class Line(NamedTuple):
    """One whole line.

    Attributes:
        number: the first line is 0.
        text: without its end; a `Region` if it is too long.
    """

    number: int
    text: bytes | Region


@dataclass(slots=True, eq=False)
class LogFile:
    """A log.

    Attributes:
        size: of the file when it was last looked at.
        looked: how many bytes have been looked at: more than ``offset`` where half a line follows.
        offset: how many bytes of whole lines have been read.
        lines: how many lines these are.
        crc: CRC-32 of these bytes.
        tail: the last of them.
        under_way: lines that were read and are not settled.
        counted_bytes: how many bytes of whole lines have been counted, whether they were read or not.
        counted_lines: how many lines these are.
        place: the device and the inode of the file that is read.
        changed_ns: when it was last changed, as it was read.
        settled_before: how many lines an earlier run had settled, as far as is known before it is read.
        refusals: how often it could not be deleted although it was finished.
        releasing: whether it is being deleted.
        torn: whether what follows the last whole line is settled, as a dead letter.
        suspect: whether it may be another file by now, which only reading can tell.
        verified: whether the progress is known to be about this file.
        unchanged_since: when the present size was first seen, in seconds of the monotonic clock.
        trouble: why it cannot be read now.
    """

    path: Path
    progress: Progress
    size: int = 0
    looked: int = 0
    offset: int = 0
    lines: int = 0
    crc: int = 0
    tail: bytes = b""
    under_way: int = 0
    counted_bytes: int = 0
    counted_lines: int = 0
    place: tuple[int, int] = (0, 0)
    changed_ns: int = 0
    settled_before: int = 0
    refusals: int = 0
    releasing: bool = False
    torn: bool = False
    suspect: bool = False
    verified: bool = False
    unchanged_since: float = 0.0
    trouble: str = ""
    _reached: Covered | None = None

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.path.name

    @property
    def unread(self) -> bool:
        """Whether there may be something to read."""
        return self.suspect or self.size > self.looked

    @property
    def pending(self) -> int:
        """How many whole lines are not settled."""
        settled = self.progress.settled if self.verified else self.settled_before
        return max(0, max(self.counted_lines, self.lines) - settled)

    @property
    def settled(self) -> bool:
        """Whether every whole line that was read is settled, and nothing but half a line is left to read."""
        return not self.under_way and self.progress.settled >= self.lines

    def look(self, size: int) -> None:
        """The file has this size now."""
        if size != self.size or not self.unchanged_since:
            self.size, self.unchanged_since = size, time.monotonic()

    def more(self, most_line: int) -> list[Line]:
        """Read the next whole lines that are not settled; none if there are no whole lines yet.

        Raises:
            Replaced: the file is another one.
            OSError: it cannot be read.
        """
        with _opened(self.path) as file:
            self._check(file.fileno())
            size, before = self.size, self.offset
            data = os.pread(file.fileno(), CHUNK, before)
            end = data.rfind(b"\n") + 1
            lines = [*(self._taken(data[:end]) if end or len(data) < CHUNK else self._long(file.fileno(), most_line))]
            complete = before + len(data) >= size if end else self.offset == before
            self.looked = size if complete else self.offset
            return lines

    def verify(self) -> bool:
        """Load the progress, and see whether the file begins with the content that it is about.

        Raises:
            TornProgress: the file of progress cannot be relied upon.
            OSError: one of the files cannot be read.
        """
        self.progress.load()
        covered = self.progress.covered
        if not covered.size:
            return True
        with _opened(self.path) as file:
            crc, left = 0, covered.size
            while left and (part := file.read(min(left, 4 * CHUNK))):
                crc, left = zlib.crc32(part, crc), left - len(part)
        return not left and crc == covered.crc

    def count(self) -> None:
        """Count the whole lines that the file has got since they were last counted.

        Raises:
            OSError: it cannot be read.
        """
        with _opened(self.path) as file:
            at = file.seek(self.counted_bytes)
            while part := file.read(4 * CHUNK):
                self.counted_lines += part.count(b"\n")
                end, at = part.rfind(b"\n") + 1, at + len(part)
                self.counted_bytes = at - len(part) + end if end else self.counted_bytes

    def rest(self) -> bytes | Region | None:
        """Half a line at the end of the file, if there is one, and nothing came since the file was read."""
        size = self.size - self.offset
        if size <= 0 or self.path.stat().st_size != self.size:
            return None
        if size > CHUNK:
            return Region(self.path, self.offset, size)
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(size)

    def _check(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Replaced
        self.suspect, self.changed_ns = False, found.st_mtime_ns
        self.look(found.st_size)
        place = found.st_dev, found.st_ino
        if not self.offset:
            self.place = place
        if place != self.place or found.st_size < self.offset:
            raise Replaced
        if os.pread(descriptor, len(self.tail), self.offset - len(self.tail)) != self.tail:
            raise Replaced

    def _taken(self, data: bytes) -> Iterator[Line]:
        """Count these whole lines as read, and return those that are not settled."""
        if not data:
            return
        first, self.torn = self.lines, False
        texts = data.split(b"\n")
        texts.pop()
        self._advance(len(data), len(texts), zlib.crc32(data, self.crc), (self.tail + data)[-TAIL:])
        settled = self.progress.is_settled
        yield from (Line(first + at, text) for at, text in enumerate(texts) if not settled(first + at))

    def _advance(self, size: int, lines: int, crc: int, tail: bytes) -> None:
        self.offset, self.lines, self.crc, self.tail = self.offset + size, self.lines + lines, crc, tail
        self._reached = Covered(*self.place, self.offset, self.lines, self.crc)

    def cover(self) -> None:
        """Tell the progress what was read; called where lines are settled, and not in the thread that reads."""
        if self._reached is not None and self._reached.size > self.progress.covered.size:
            self.progress.cover(self._reached)

    def _long(self, descriptor: int, most_line: int) -> Iterator[Line]:
        """A line that is longer than a chunk; nothing while its end is not there."""
        at, crc, parts = self.offset, self.crc, [b""]
        while part := os.pread(descriptor, CHUNK, at):
            end = part.find(b"\n") + 1
            part = part[:end] if end else part
            at, crc = at + len(part), zlib.crc32(part, crc)
            parts = [*parts, part] if at - self.offset <= most_line else [part]
            if end:
                size, number = at - self.offset, self.lines
                text = b"".join(parts)[:-1] if size <= most_line else Region(self.path, self.offset, size - 1)
                self._advance(size, 1, crc, part[-TAIL:])
                if not self.progress.is_settled(number):
                    yield Line(number, text)
                return


def _opened(path: Path) -> io.FileIO:
    """A log for reading, unless its name is a link by now."""
    return io.FileIO(path, "r", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC))
