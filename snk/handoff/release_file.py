"""Deletes logs of which every line is done or a dead letter, and nothing more can come."""

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from snk.files.atomic import sync_folder
from snk.handoff.backend import Backend
from snk.handoff.dead import Region
from snk.handoff.logfile import LogFile
from snk.handoff.names import is_over, minute_of
from snk.handoff.pool import Pool
from snk.log import Reminder

log = structlog.get_logger()


SURE = timedelta(minutes=1)
"""So long after its minute, a writer whose clock is a little behind has gone on to another log."""
TWICE = timedelta(hours=1)
"""By how much clocks are set back in autumn."""
MOST_REFUSALS = 3
"""A finished log that so often could not be deleted is not waited for."""


@dataclass(slots=True)
class ReleaseFile:
    """Releases the logs of one backend.

    Attributes:
        settle_seconds: how long a log must have been unchanged.
        now: the local time. If it jumps, logs are released later; nothing else depends on it.
    """

    backend: Backend
    pool: Pool
    settle_seconds: float
    now: Callable[[], datetime] = datetime.now
    _reminder: Reminder = field(default_factory=Reminder)

    @property
    def expects(self) -> bool:
        """Whether a log will be released when it has been unchanged for long enough."""
        return any(file.refusals < MOST_REFUSALS for file in self._whole())

    async def tick(self) -> int:
        """Release what can be released; return how many logs that were."""
        self._tidy()
        since = time.monotonic() - self.settle_seconds
        finished = [file for file in self._whole() if file.unchanged_since <= since]
        if not finished:
            self.backend.undeletable = {}
            return 0
        sizes = {file: file.size for file in finished}
        for file, rest in await asyncio.to_thread(_torn, finished):
            await self.pool.torn(file, rest)
        finished = [file for file in finished if file.size == sizes[file] and _is_settled(file)]
        for file in finished:
            file.releasing = True
        released, self.backend.undeletable = await asyncio.to_thread(_deleted, finished, sizes)
        self._tell()
        for file in finished:
            file.releasing = False
            file.refusals += 1
        for file in released:
            file.progress.detach()
            if self.backend.logs.get(file.name) is file:
                del self.backend.logs[file.name]
                self.backend.candidates.discard(file.name)
            log.debug("log_released", backend=self.backend.name, log=file.name, lines=file.lines)
        await asyncio.to_thread(_forget, released)
        return len(released)

    def _tell(self) -> None:
        """Say which finished logs cannot be deleted."""
        found = next(iter(self.backend.undeletable.items()), None)
        if found is None:
            self._reminder.over()
        elif self._reminder.due(found[1]):
            log.error("log_undeletable", backend=self.backend.name, log=found[0], reason=found[1], effect="it stays")

    def _tidy(self) -> None:
        """Leave out logs that are not finished: they are candidates again when read, or when their last line is."""
        logs, candidates = self.backend.logs, self.backend.candidates
        for name in list(candidates):
            file = logs.get(name)
            if file is None or file.under_way or file.unread:
                candidates.discard(name)

    def _whole(self) -> list[LogFile]:
        """The logs that are settled completely and that no writer appends to any more."""
        logs = self.backend.logs
        newest = max(logs, default="")
        some = (logs[name] for name in self.backend.candidates if name in logs)
        return [file for file in some if _is_settled(file) and self._is_over(file.name, newest)]

    def _is_over(self, name: str, newest: str) -> bool:
        """Whether a writer has gone on to another log.

        If its clock is far ahead of ours, only a newer log tells. In the hour that comes twice in autumn, logs of that
        hour are opened again, so a newer one tells nothing then.
        """
        now, minute = self.now(), minute_of(name)
        return is_over(name, now - SURE) or (name < newest and minute is not None and minute > now + TWICE)


def _is_settled(file: LogFile) -> bool:
    return file.settled and not (file.trouble or file.unread or (file.size and not file.verified))


def _torn(files: Sequence[LogFile]) -> list[tuple[LogFile, bytes | Region]]:
    """The logs that end in half a line, with that half."""
    found: list[tuple[LogFile, bytes | Region]] = []
    for file in files:
        with suppress(OSError):
            if not file.torn and (rest := file.rest()) is not None:
                found.append((file, rest))
    return found


def _deleted(files: Sequence[LogFile], sizes: Mapping[LogFile, int]) -> tuple[list[LogFile], dict[str, str]]:
    """Delete these logs of one folder; return those that are deleted, also on disk, and why others cannot be."""
    deleted: list[LogFile] = []
    faults: dict[str, str] = {}
    for file in files:
        try:
            if _delete(file, sizes[file]):
                deleted.append(file)
        except OSError as error:
            faults[file.name] = error.strerror or str(error)
    if deleted:
        sync_folder(deleted[0].path.parent)
    return deleted, faults


def _forget(files: Sequence[LogFile]) -> None:
    """Delete the progress of logs that are gone for good: a log without its progress would be sent again."""
    for file in files:
        file.progress.delete()


def _delete(file: LogFile, size: int) -> bool:
    """Delete a log, unless it is gone, has changed since it was read to this size, or a writer has it open.

    Raises:
        OSError: it cannot be deleted.
    """
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(descriptor)
        same = (found.st_dev, found.st_ino) == file.place and file.changed_ns in (0, found.st_mtime_ns)
        if not same or found.st_size != size:
            return False
        file.path.unlink()
    except (BlockingIOError, FileNotFoundError):
        return False
    else:
        return True
    finally:
        os.close(descriptor)
