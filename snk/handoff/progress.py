"""Which lines of a log are settled: one file for each log, a header and a bitmap. It is the truth about the log.

A bit is written as soon as the answer is known, so a process that is killed forgets nothing; `Durable` forces the files
to disk in groups, so that a power failure forgets little. A forgotten bit means that a line is sent again.

The header says how much of the log the bitmap is about, with a check sum of that content. A log that was replaced or
truncated has another content, so its lines are not taken for those that are settled. Layout, little-endian: the magic
``SNKHAND`` and a NUL; u16 version; u16 zero; u32 CRC-32 of the content; u64 device; u64 inode; u64 bytes; u64 lines;
u32 CRC-32 of the header so far; then the bitmap, line 0 in the lowest bit of the first byte.
"""

import errno
import os
import struct
import zlib
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"SNKHAND\0"
VERSION = 1
_FORM = struct.Struct("<8sHHIQQQQ")
_SUM = struct.Struct("<I")
HEADER_BYTES = _FORM.size + _SUM.size
MOST_OPEN = 16


class TornProgress(Exception):  # noqa: N818 - it is a finding, not a fault of the program
    """A file of progress that cannot be relied upon; the message says why."""


@dataclass(frozen=True, slots=True)
class Covered:
    """What a bitmap is about.

    Attributes:
        crc: CRC-32 of the first ``size`` bytes of the log.
        lines: how many whole lines these are.
    """

    device: int = 0
    inode: int = 0
    size: int = 0
    lines: int = 0
    crc: int = 0

    @property
    def packed(self) -> bytes:
        """As it stands in the file."""
        head = _FORM.pack(MAGIC, VERSION, 0, self.crc, self.device, self.inode, self.size, self.lines)
        return head + _SUM.pack(zlib.crc32(head))


def settled_in(path: Path) -> int:
    """How many lines are settled according to a file of progress; 0 if there is none.

    Raises:
        TornProgress: it cannot be relied upon.
    """
    progress = Progress(path, Handles())
    progress.load()
    return progress.settled


def unpacked(data: bytes) -> Covered:
    """The header of a file.

    Raises:
        TornProgress: it is cut short, changed, or of another version.
    """
    if len(data) < HEADER_BYTES:
        raise TornProgress(f"it has {len(data)} bytes, and its header alone has {HEADER_BYTES}")
    magic, version, _, crc, device, inode, size, lines = _FORM.unpack_from(data)
    if magic != MAGIC:
        raise TornProgress("it does not begin as a file of progress")
    if version != VERSION:
        raise TornProgress(f"it has version {version}, and this program writes version {VERSION}")
    if _SUM.unpack_from(data, _FORM.size)[0] != zlib.crc32(data[: _FORM.size]):
        raise TornProgress("the check sum of its header does not fit")
    return Covered(device, inode, size, lines, crc)


class Handles:
    """Open files, as many as allowed: the one that was not used for the longest time is closed for another."""

    def __init__(self, most: int = MOST_OPEN) -> None:
        self._most = most
        self._open: OrderedDict[Path, int] = OrderedDict()

    def of(self, path: Path) -> int:
        """The descriptor of a file, opened for reading and writing and created if need be."""
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        while len(self._open) >= self._most:
            os.close(self._open.popitem(last=False)[1])
        self._open[path] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        return self._open[path]

    def close(self, path: Path) -> None:
        """Close a file if it is open."""
        if path in self._open:
            os.close(self._open.pop(path))

    def close_all(self) -> None:
        """Close every file."""
        for path in list(self._open):
            self.close(path)


class Progress:
    """The progress of one log.

    Attributes:
        covered: what the bitmap is about.
        settled: how many lines are settled.
        saved: whether all of it is in its file; if not, `save` must be called until it succeeds.
        fault: why it could not be written.
    """

    def __init__(self, path: Path, handles: Handles) -> None:
        self.path = path
        self.covered = Covered()
        self.settled = 0
        self.saved = True
        self.fault = ""
        self._bits = bytearray()
        self._handles: Handles | None = handles
        self._exists = False

    def load(self) -> None:
        """Read the file, if there is one.

        Raises:
            TornProgress: it cannot be relied upon.
            OSError: it cannot be read.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return
        self.covered = unpacked(data)
        self._bits = bytearray(data[HEADER_BYTES : HEADER_BYTES + (self.covered.lines + 7) // 8])
        if self.covered.lines % 8 and len(self._bits) * 8 > self.covered.lines:
            self._bits[-1] &= (1 << self.covered.lines % 8) - 1  # the log was not known to have these lines
        self.settled = int.from_bytes(self._bits, "little").bit_count()
        self._exists = True

    def is_settled(self, line: int) -> bool:
        """Whether a line is settled; the first line is 0."""
        return line >> 3 < len(self._bits) and bool(self._bits[line >> 3] & 1 << (line & 7))

    def cover(self, covered: Covered) -> None:
        """Say what the bitmap is about, before any of its new lines is settled."""
        self.covered = covered
        if self._exists:
            self._write(covered.packed, 0)

    def settle(self, line: int) -> bool:
        """Record that a line is settled; return whether it was not yet."""
        at = line >> 3
        if at >= len(self._bits):
            self._bits.extend(bytes(at + 1 - len(self._bits)))
        if self._bits[at] & 1 << (line & 7):
            return False
        self._bits[at] |= 1 << (line & 7)
        self.settled += 1
        if self._exists:
            self._write(self._bits[at : at + 1], HEADER_BYTES + at)
        else:
            self._write(self.covered.packed + self._bits, 0)
        return True

    def save(self) -> None:
        """Write all of it again, after writing failed.

        Raises:
            OSError: it fails still.
        """
        if self._handles is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            whole = self.covered.packed + self._bits
            if os.pwrite(self._handles.of(self.path), whole, 0) != len(whole):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._exists = self.saved = True

    def _write(self, data: bytes | bytearray, at: int) -> None:
        if self._handles is None or not self.saved:
            return
        try:
            if os.pwrite(self._handles.of(self.path), data, at) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - as the system does
        except OSError as error:
            self.saved, self.fault = False, error.strerror or str(error)
        else:
            self._exists = True

    def force(self) -> None:
        """Force the file to disk, by a descriptor of its own, so that this can run in a thread.

        Raises:
            OSError: it fails; but not because the file is gone, as it is when its log was released.
        """
        with suppress(FileNotFoundError):
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    def delete(self) -> None:
        """Delete the file; nothing is recorded from now on."""
        self.detach()
        with suppress(FileNotFoundError):
            self.path.unlink()

    def detach(self) -> None:
        """Leave the file as it is; nothing is recorded from now on."""
        if self._handles is not None:
            self._handles.close(self.path)
            self._handles = None

    def opened_again(self) -> "Progress":
        """The same file, to be loaded for another file of this name; nothing is recorded here from now on."""
        handles = self._handles or Handles()
        self.detach()
        return Progress(self.path, handles)

    def move(self, path: Path) -> None:
        """Give the file another name."""
        if self._handles is not None:
            self._handles.close(self.path)
        if self._exists:
            try:
                self.path.rename(path)
            except OSError as error:
                self.saved, self.fault = False, error.strerror or str(error)
        self.path = path
