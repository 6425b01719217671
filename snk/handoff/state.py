"""The folder of state: progress, dead letters, what a person has paused; and that only one server uses it."""

import fcntl
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from snk.errors import ServiceUnfit, SettingsError
from snk.handoff.names import Seen
from snk.handoff.progress import HEADER_BYTES, Handles, Progress, TornProgress, unpacked

SUFFIX = ".progress"
KEEP_SECONDS = 7 * 86_400.0
"""How long progress is kept whose log has vanished: until then it may come back, such as with a file system."""


class State:
    """The folder.

    Attributes:
        progress: one folder for each backend, one file for each log.
        dead: one folder for each backend, one file for each dead letter.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.progress = folder / "progress"
        self.dead = folder / "dead"
        self._held = folder / "held"
        self._quarantine = folder / "quarantine"
        self._orphans: dict[str, dict[tuple[int, int], Path]] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder as long as the block lasts.

        Raises:
            ServiceUnfit: another server holds it.
            SettingsError: it cannot be written.
        """
        try:
            for folder in (self.progress, self.dead, self._held):
                folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            hint = "Create it, and let this user write to it"
            raise SettingsError(f"handoff.state is {str(self.folder)!r}: {error.strerror}", hint=hint) from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                hint = "Stop it, or give this one a handoff.state of its own"
                raise ServiceUnfit(f"Another sync server uses {str(self.folder)!r}", hint=hint) from None
            yield
        finally:
            os.close(descriptor)

    def path_of(self, backend: str, name: str) -> Path:
        """Where the progress of a log of this name is."""
        return self.progress / backend / f"{name}{SUFFIX}"

    def progress_of(self, backend: str, log: Seen, present: Collection[str]) -> Path:
        """The file of a log's progress; that of a log which had another name when it was last read is renamed.

        Args:
            backend: whose log it is.
            log: the log.
            present: the names of all logs that are there: their progress is theirs, even if an inode is used again.
        """
        path = self.path_of(backend, log.name)
        known = self._known(backend).pop(log.place, None)
        elsewhere = known is not None and known.name.removesuffix(SUFFIX) not in present
        if known is not None and elsewhere and not path.exists():
            with suppress(OSError):
                known.rename(path)
        return path

    def forget_released(self, backend: str, logs: Collection[str]) -> None:
        """Delete finished progress of logs that are gone: a server was killed between deleting the one and the other.

        Args:
            backend: whose logs were looked at for the first time.
            logs: the names of those that exist.
        """
        for path in self._known(backend).values():
            progress = Progress(path, Handles())
            if path.name.removesuffix(SUFFIX) not in logs:
                with suppress(OSError, TornProgress):
                    progress.load()
                    if progress.settled >= progress.covered.lines:
                        path.unlink()

    def forget_vanished(self, backend: str, logs: Collection[str]) -> None:
        """Delete progress of logs that somebody deleted or moved away a week ago: it was told then."""
        before = time.time() - KEEP_SECONDS
        for path in (self.progress / backend).glob(f"*{SUFFIX}"):
            if path.name.removesuffix(SUFFIX) not in logs:
                with suppress(OSError):
                    if path.stat().st_mtime < before:
                        path.unlink()

    def _known(self, backend: str) -> dict[tuple[int, int], Path]:
        """The progress that there was at the start, by the places of the logs; what is taken up is taken out."""
        if backend not in self._orphans:
            folder = self.progress / backend
            with suppress(OSError):  # without room, writing progress fails, and is waited for
                folder.mkdir(exist_ok=True)
            self._orphans[backend] = _by_place(folder)
        return self._orphans[backend]

    def quarantine(self, path: Path) -> Path | None:
        """Keep a file of progress aside that cannot be used; return its new path, if there was one."""
        folder = self._quarantine / path.parent.name
        kept = folder / f"{path.name}.{time.time_ns()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.rename(kept)
        except FileNotFoundError:
            return None
        except OSError:
            with suppress(OSError):
                path.unlink()
            return None
        return kept

    @property
    def quarantined(self) -> int:
        """How many files of progress were put aside and are there still."""
        return sum(1 for _ in self._quarantine.glob("*/*"))

    def held(self) -> dict[str, float]:
        """The backends that a person has paused, and when, in seconds since the epoch."""
        with suppress(OSError):
            return {path.name: path.stat().st_mtime for path in self._held.iterdir()}
        return {}

    def hold(self, backend: str) -> None:
        """Pause a backend, also across restarts."""
        self._held.mkdir(parents=True, exist_ok=True)
        (self._held / backend).touch()

    def resume(self, backend: str) -> bool:
        """Take a pause back; return whether there was one."""
        try:
            (self._held / backend).unlink()
        except FileNotFoundError:
            return False
        return True


def _by_place(folder: Path) -> dict[tuple[int, int], Path]:
    """The files of progress, by the device and inode of their logs."""
    found: dict[tuple[int, int], Path] = {}
    for path in folder.glob(f"*{SUFFIX}"):
        with suppress(OSError, TornProgress):
            covered = unpacked(path.read_bytes()[:HEADER_BYTES])
            found[covered.device, covered.inode] = path
    return found
