"""Dead letters: lines that can never be sent, or that their backend refuses, each in a file of its own.

A file holds one line of JSON, which says where the line came from and why it is here, and then the line as it was. It
is named after its log, its number and its content, so that writing it again after a crash changes nothing.
"""

import fcntl
import json
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path
from typing import Any, BinaryIO

from snk.errors import SettingsError
from snk.files.atomic import sync_folder

SUFFIX = ".dead"
FILE_MODE, FOLDER_MODE = 0o640, 0o750
"""Dead letters hold what was written: their owner and group may read them, whatever the umask says."""
MOST_NEWEST = 100
"""So many names are known of one backend without reading its folder again."""
_CHUNK = 2**20
_SETTLED_NS = 1_000_000_000
"""A folder that changed in the last second may change again without another time of change."""


class Gone(Exception):  # noqa: N818 - it is a finding, not a fault of the program
    """A log that cannot be read any more; the message says why."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a log that is too long to be held in memory."""

    path: Path
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What is known of a dead letter.

    Attributes:
        line: its number in the log; the first is 1.
        status: the backend's last answer; None if it was never sent.
        at: when it died, in seconds since the epoch.
    """

    backend: str
    log: str
    line: int
    reason: str
    status: int | None
    tries: int
    at: float
    size: int

    @property
    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Kept:
    """The dead letters of one backend.

    Attributes:
        count: how many there are.
        newest: the names of those whose lines were logged last, the last one first.
    """

    count: int
    newest: tuple[str, ...]


class DeadLetters:
    """The dead letters of all backends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[str, tuple[int, Kept]] = {}

    def bury(self, letter: DeadLetter, line: bytes | Region) -> None:
        """Write a dead letter, and return when it is on disk.

        Raises:
            OSError: it cannot be written.
            Gone: the log that holds the line cannot be read any more.
        """
        folder = self._folder / letter.backend
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(FOLDER_MODE)
            sync_folder(self._folder)
        path = folder / f"{letter.log.removesuffix('.log')}-{letter.line:09d}-{_sum(line):08x}{SUFFIX}"
        if path.exists():
            sync_folder(folder)
            return
        beside = path.with_suffix(".new")
        try:
            with beside.open("wb") as made:
                os.fchmod(made.fileno(), FILE_MODE)
                made.write(json.dumps(letter.as_json, ensure_ascii=False).encode() + b"\n")
                for part in _parts(line):
                    made.write(part)
                made.flush()
                os.fsync(made.fileno())
            beside.rename(path)
        except OSError:
            with suppress(OSError):
                beside.unlink()
            raise
        sync_folder(folder)

    @property
    def backends(self) -> list[str]:
        """The backends that have some, or had some once."""
        with suppress(FileNotFoundError):
            return sorted(entry.name for entry in os.scandir(self._folder) if entry.is_dir())
        return []

    def count(self, backend: str) -> int:
        """How many a backend has."""
        return self.kept(backend).count

    def kept(self, backend: str) -> Kept:
        """How many a backend has, and the newest; a folder that did not change is not read again."""
        folder = self._folder / backend
        try:
            changed = folder.stat().st_mtime_ns
            known = self._kept.get(backend)
            if known and known[0] == changed:
                return known[1]
            stems = self._stems(backend)
        except FileNotFoundError:
            return Kept(0, ())
        kept = Kept(len(stems), tuple(f"{backend}/{stem}" for stem in nlargest(MOST_NEWEST, stems)))
        if time.time_ns() - changed > _SETTLED_NS:
            self._kept[backend] = changed, kept
        return kept

    def names(self, backend: str) -> list[str]:
        """The names of all that a backend has, in the order of logs and lines."""
        with suppress(FileNotFoundError):
            return [f"{backend}/{stem}" for stem in sorted(self._stems(backend))]
        return []

    def all(self, backend: str | None = None) -> Iterator[tuple[str, DeadLetter]]:
        """The names and letters, in the order of backends, logs and lines."""
        for path in sorted(self._folder.glob(f"*/*{SUFFIX}")):
            if backend in (None, path.parent.name):
                try:
                    with path.open("rb") as file:
                        letter = _read(file)
                except FileNotFoundError:
                    continue  # somebody has just handled it
                yield f"{path.parent.name}/{path.stem}", letter

    def head(self, name: str) -> DeadLetter:
        """A letter without its line.

        Raises:
            SettingsError: there is none of this name.
        """
        with self._opened(name) as file:
            return _read(file)

    def beginning(self, name: str, most: int) -> bytes:
        """What a line begins with, up to so many bytes.

        Raises:
            SettingsError: there is none of this name.
        """
        with self._opened(name) as file:
            file.readline()
            return file.read(most)

    def get(self, name: str) -> tuple[DeadLetter, bytes]:
        """A letter and its line.

        Raises:
            SettingsError: there is none of this name.
        """
        with self._opened(name) as file:
            return _read(file), file.read()

    @contextmanager
    def taken(self, name: str) -> Iterator[tuple[DeadLetter, bytes]]:
        """A letter and its line, which nobody else takes or deletes meanwhile; it is deleted if the block succeeds.

        Raises:
            SettingsError: there is none of this name.
        """
        with self._held(name) as (path, file):
            yield _read(file), file.read()
            _delete(path)

    def drop(self, name: str) -> None:
        """Delete a letter.

        Raises:
            SettingsError: there is none of this name.
        """
        with self._held(name) as (path, _):
            _delete(path)

    @contextmanager
    def _held(self, name: str) -> Iterator[tuple[Path, BinaryIO]]:
        """The file of a letter, locked among all processes."""
        path = self._path(name)
        with self._opened(name) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(path, file):  # whoever held it before has deleted it
                raise _none(name)
            yield path, file

    def _path(self, name: str) -> Path:
        backend, _, stem = name.partition("/")
        path = self._folder / backend / f"{stem}{SUFFIX}"
        if "/" in stem or ".." in backend or not path.is_file():
            raise _none(name)
        return path

    def _opened(self, name: str) -> BinaryIO:
        try:
            return self._path(name).open("rb")
        except FileNotFoundError:
            raise _none(name) from None

    def _stems(self, backend: str) -> list[str]:
        names = (entry.name for entry in os.scandir(self._folder / backend))
        return [name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)]


def _delete(path: Path) -> None:
    path.unlink()
    sync_folder(path.parent)


def _is_at(path: Path, file: BinaryIO) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    return False


def _none(name: str) -> SettingsError:
    return SettingsError(f"There is no dead letter {name!r}", hint="`snk handoff dead list` shows them")


def _read(file: BinaryIO) -> DeadLetter:
    """The letter at the beginning of a file; its line follows."""
    try:
        return DeadLetter(**json.loads(file.readline()))
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{file.name} is not a dead letter: {error}") from None


def letter_of(
    place: tuple[str, str, int], reason: str, size: int, status: int | None = None, tries: int = 0
) -> DeadLetter:
    """A letter that dies now.

    Args:
        place: the backend, the log, and the number of the line; the first is 0.
        reason: why.
        size: of the line, in bytes.
        status: the last answer.
        tries: how often it was sent.
    """
    backend, log, line = place
    return DeadLetter(backend, log, line + 1, reason, status, tries, time.time(), size)


def _parts(line: bytes | Region) -> Iterator[bytes]:
    if isinstance(line, bytes):
        yield line
        return
    left = line.size
    try:
        with line.path.open("rb") as log:
            log.seek(line.start)
            while left and (part := log.read(min(left, _CHUNK))):
                left -= len(part)
                yield part
    except OSError as error:
        raise Gone(error.strerror or str(error)) from error


def _sum(line: bytes | Region) -> int:
    total = 0
    for part in _parts(line):
        total = zlib.crc32(part, total)
    return total
