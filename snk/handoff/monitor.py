"""Watches the folder of logs: changes are a hint where to look, and a scan in intervals decides."""

import asyncio
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from watchfiles import awatch

from snk.handoff.names import Seen, is_backend, is_log

log = structlog.get_logger()

DEBOUNCE_MS = 50
"""Changes within this time are one hint."""
SPARE = 20
"""So many times as long as a look took, no other is taken because of a hint."""


@dataclass(slots=True)
class Scan:
    """What a scan found.

    Attributes:
        logs: the logs of each backend.
        ignored: what is not a log of a backend, and why.
        unreadable: folders that could not be read, and why. What is in them is unknown.
        gone: the folder that was asked for, if there is none.
        whole: whether all folders were looked at.
    """

    logs: dict[str, dict[str, Seen]] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    whole: bool = False


def scan(folder: Path, only: str | None = None) -> Scan:
    """Look at all backends, or at one."""
    found = Scan()
    for entry in _entries(folder, found, "."):
        if only is not None and entry.name != only:
            continue
        if not is_backend(entry.name):
            found.ignored[entry.name] = "not a folder named HOST:PORT"
        elif not entry.is_dir(follow_symlinks=False):
            found.ignored[entry.name] = "not a folder"
        else:
            _look(Path(entry.path), found)
    if only is not None and not (found.logs or found.ignored or found.unreadable):
        found.gone = {only}
    found.whole = only is None and "." not in found.unreadable
    return found


def _look(folder: Path, found: Scan) -> None:
    """Look at the folder of one backend."""
    logs: dict[str, Seen] = {}
    places: set[tuple[int, int]] = set()
    for entry in sorted(_entries(folder, found, folder.name), key=lambda entry: entry.name):
        name = f"{folder.name}/{entry.name}"
        if not is_log(entry.name):
            found.ignored[name] = "its name is not that of a log"
            continue
        try:
            state = entry.stat(follow_symlinks=False)
        except OSError:
            continue  # it has gone since
        place = state.st_dev, state.st_ino
        if not stat.S_ISREG(state.st_mode):
            found.ignored[name] = "not a regular file"
        elif place in places:
            found.ignored[name] = "another name of a log before it"
        else:
            places.add(place)
            logs[entry.name] = Seen(entry.name, state.st_size, place)
    if folder.name not in found.unreadable:
        found.logs[folder.name] = logs


def _entries(folder: Path, found: Scan, name: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        found.unreadable[name] = error.strerror or str(error)
        return []


class Monitor:
    """Keeps what is known of the logs up to date.

    Attributes:
        last: the last scan of everything.
        looked: whether there was one.
    """

    def __init__(self, folder: Path, every_seconds: float, see: Callable[[Scan], None]) -> None:
        self._folder = folder
        self._every = every_seconds
        self._see = see
        self._told: set[str] = set()
        self._one_at_a_time = asyncio.Lock()  # an older scan must not be told after a newer one
        self.last = Scan()
        self.looked = False

    async def look(self, only: str | None = None) -> None:
        """Scan, and tell what was found."""
        async with self._one_at_a_time:
            self._tell(await asyncio.to_thread(scan, self._folder, only), only)
            self.looked = True

    def _tell(self, found: Scan, only: str | None) -> None:
        if only is None:
            self.last = found
            for name in self._told - found.unreadable.keys():
                self._told.discard(name)
                log.info("folder_readable", folder=name)
        for name, why in found.unreadable.items():
            if name not in self._told:
                self._told.add(name)
                log.warning("folder_unreadable", folder=name, reason=why, effect="its logs wait")
        self._see(found)

    async def run(self) -> None:
        """Scan in intervals, for ever."""
        while True:
            await asyncio.sleep(self._every)
            await self.look()

    async def watch(self, stop: asyncio.Event) -> None:
        """Look where something changes, as long as the system tells."""
        while not stop.is_set():
            with suppress(OSError):
                changes = awatch(
                    self._folder,
                    watch_filter=None,
                    stop_event=stop,
                    debounce=DEBOUNCE_MS,
                    ignore_permission_denied=True,
                )
                async for some in changes:
                    began = time.monotonic()
                    for name in {_backend_of(self._folder, path) for _, path in some}:
                        await self.look(name)
                    await asyncio.sleep(SPARE * (time.monotonic() - began))
            await asyncio.sleep(min(1.0, self._every))  # the folder is not there, or there is no more room for watches


def _backend_of(folder: Path, path: str) -> str | None:
    """The folder of a backend in which a path is; None for the folder of all."""
    parts = Path(path).relative_to(folder).parts
    return parts[0] if parts else None
