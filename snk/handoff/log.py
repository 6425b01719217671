"""The log of the writes that a backend missed: a line is on disk before anybody is told that the write is safe.

Any number of threads and processes may write to one log. Threads share what costs most, the wait for the disk: one of
them forces the file to disk for all whose lines are in it by then (group commit; DeWitt et al., 1984).

A log is held open, with a shared lock (flock), only while lines are being written to it. The sync server deletes a log
under an exclusive lock, so no line is ever written to a log that is gone. An exclusive lock of the folder orders the
writers of all processes, for the few microseconds of an append.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from threading import Condition, Lock
from typing import Generic, Protocol, Self, TypeVar

from snk.errors import LogFull
from snk.handoff.names import is_backend, is_log, log_of
from snk.handoff.request import BadLine

W_contra = TypeVar("W_contra", contravariant=True)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_HINT = "Nothing was written; make room, or let the sync server send what is there"


class Encodes(Protocol[W_contra]):
    """How a write becomes a line: a codec, such as `snk.handoff.codecs.hustdb.Hustdb`."""

    def encode(self, write: W_contra, at: datetime) -> bytes:
        """The line of a write that was missed at this local time, without its end.

        Raises:
            ValueError: there is no such line.
        """

    def decode(self, line: bytes) -> object:
        """The write of a line.

        Raises:
            BadLine: no request can be made of it.
        """


class Log(Generic[W_contra]):
    """The logs of all backends.

    A line whose write raised an error may be in the log nevertheless, if the disk failed after the line was appended.

    Args:
        logs: the folder with one folder for each backend; it must exist.
        codec: how a write becomes a line.
        limit_bytes: how large the logs of one backend may become; 0 is no limit.
        now: the local time.
    """

    def __init__(
        self,
        logs: Path | str,
        codec: Encodes[W_contra],
        limit_bytes: int = 0,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._logs = Path(logs)
        self._codec = codec
        self._limit = limit_bytes
        self._now = now
        self._lock = Lock()
        self._folders: dict[str, _Folder] = {}
        self._closed = False

    def write(self, backend: str, write: W_contra) -> None:
        """Log a write, and return when it is on disk.

        Raises:
            ValueError: the write can never be sent, the backend is not a host and a port, or the log is closed.
            TypeError: a part of the write is of another type than it must be.
            LogFull: there is no room for it.
            OSError: it cannot be written.
        """
        at = self._now()
        line = self._codec.encode(write, at)
        try:
            self._codec.decode(line)
        except BadLine as error:
            raise ValueError(f"this write can never be sent: {error}") from None
        self._append(backend, line, at)

    def append_raw(self, backend: str, line: bytes) -> None:
        """Log a line that is encoded already, without its end; otherwise like `write`."""
        if not line or b"\n" in line:
            raise ValueError(f"not one line: {line[:80]!r}")
        self._append(backend, line, self._now())

    def close(self) -> None:
        """Accept no more writes. Those under way are finished by their threads."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, backend: str, line: bytes, at: datetime) -> None:
        if self._closed:
            raise ValueError("the log is closed")
        if not is_backend(backend):
            raise ValueError(f"{backend!r} is not a host and a port")
        with self._lock:
            folder = self._folders.setdefault(backend, _Folder(self._logs / backend, self._limit))
        try:
            folder.append(line + b"\n", log_of(at))
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise LogFull(f"{folder.path}: {error.strerror}", hint=_HINT) from error
            raise


class _Folder:
    """The logs of one backend."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self.path = path
        self._limit = limit_bytes
        self._lock = Lock()
        self._current: _File | None = None
        self._bytes = limit_bytes

    def append(self, line: bytes, name: str) -> None:
        """Write a line to the log of this name, and return when it is on disk."""
        with self._lock, self._exclusive() as folder:
            self._check_limit(len(line))
            file = self._opened(name, folder)
            file.users += 1
            try:
                number = file.append(line)
            except BaseException:
                self._leave(file)
                raise
        try:
            file.force(number)
        finally:
            with self._lock:
                self._leave(file)

    @contextmanager
    def _exclusive(self) -> Iterator[int]:
        """Keep out the writers of other processes; the folder is made if there is none."""
        try:
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            with _locked(os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as parent:
                self.path.mkdir(exist_ok=True)
                os.fsync(parent)
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with _locked(folder):
            yield folder

    def _opened(self, name: str, folder: int) -> "_File":
        """The log of this name, ready to be appended to."""
        if self._current is None or not self._current.serves(self.path / name):
            self._current = _File(self.path / name, folder)
        return self._current

    def _leave(self, file: "_File") -> None:
        """The last one that uses a log closes it, so that it can be deleted as soon as it is finished."""
        file.users -= 1
        if not file.users:
            file.close()
            if self._current is file:
                self._current = None

    def _check_limit(self, more: int) -> None:
        """Refuse a line beyond the limit. The folder is only read when what is known to be there leaves no room."""
        if not self._limit:
            return
        if self._bytes + more > self._limit:
            self._bytes = _size_of(self.path)
        if self._bytes + more > self._limit:
            had = f"{self._bytes:,} of {self._limit:,} bytes"
            raise LogFull(f"{self.path}: the logs have {had}", hint=_HINT)
        self._bytes += more


class _File:
    """A log that is open, with a shared lock.

    Attributes:
        users: how many threads write to it or wait for the disk; the folder counts them.
    """

    def __init__(self, path: Path, folder: int) -> None:
        self._path = path
        self._descriptor = _opened(path, folder)
        self._changed = Condition()
        self._appended = 0
        self._forced = 0
        self._forcing = False
        self._failure: OSError | None = None
        self.users = 0

    def serves(self, path: Path) -> bool:
        """Whether a line for this path can be appended here: the file is still the one of that name, and sound."""
        return path == self._path and self._failure is None and _is_at(self._descriptor, path)

    def append(self, line: bytes) -> int:
        """Append a line, all of it or nothing; return how many lines were appended."""
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line  # a crash left half a line, which must not become the beginning of this one
        left = memoryview(line)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise
        self._appended += 1
        return self._appended

    def force(self, number: int) -> None:
        """Return when so many lines are on disk: force them, or wait for a thread that does.

        Raises:
            OSError: the disk failed. It is not asked again, because it may claim success for lines that it has dropped.
        """
        with self._changed:
            while self._forced < number and self._failure is None:
                if self._forcing:
                    self._changed.wait()
                else:
                    self._force_all()
            if self._forced < number and self._failure is not None:
                raise OSError(self._failure.errno, self._failure.strerror, str(self._path))

    def close(self) -> None:
        """Close it, which gives up the lock."""
        os.close(self._descriptor)

    def _force_all(self) -> None:
        """Force the lines that are there now; others may append meanwhile."""
        self._forcing, there = True, self._appended
        self._changed.release()
        failure: OSError | None = None
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            failure = error
        finally:
            self._changed.acquire()
            self._forcing = False
            self._changed.notify_all()
        if failure is None:
            self._forced = there
        else:
            self._failure = failure


@contextmanager
def _locked(folder: int) -> Iterator[int]:
    """Hold an exclusive lock of an open folder, and close it at the end."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(folder)


def _opened(path: Path, folder: int) -> int:
    """Open a log with a shared lock; it was not deleted before the lock was there, and its name is on disk."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if _is_at(descriptor, path):
                if not os.fstat(descriptor).st_size:
                    os.fsync(folder)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one of this name."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def _size_of(folder: Path) -> int:
    """How many bytes the logs in a folder have."""
    total = 0
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):  # the sync server has just deleted it
            total += entry.stat().st_size if is_log(entry.name) else 0
    return total
