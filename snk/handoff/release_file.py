"""Deletes logs of which every line is done or a dead letter, and nothing more can come."""

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from snk.handoff.backend import Backend
from snk.handoff.dead import Region, sync_folder
from snk.handoff.logfile import LogFile
from snk.handoff.names import is_over
from snk.handoff.pool import Pool

log = structlog.get_logger()


SURE = timedelta(minutes=1)
"""So long after its minute, a writer whose clock is a little behind has gone on to another log."""


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

    @property
    def expects(self) -> bool:
        """Whether a log will be released when it has been unchanged for long enough."""
        newest = max(self.backend.logs, default="")
        return any(self._whole(file, newest) for file in self.backend.logs.values())

    async def tick(self) -> int:
        """Release what can be released; return how many logs that were."""
        newest = max(self.backend.logs, default="")
        since = time.monotonic() - self.settle_seconds
        whole = (file for file in self.backend.logs.values() if self._whole(file, newest))
        finished = [file for file in whole if file.unchanged_since <= since]
        for file in finished:
            if not file.torn and (rest := self._rest(file)) is not None:
                await self.pool.torn(file, rest)
        released = await asyncio.to_thread(_deleted, finished)
        for file in released:
            file.progress.delete()
            self.backend.logs.pop(file.name, None)
            log.debug("log_released", backend=self.backend.name, log=file.name, lines=file.lines)
        return len(released)

    def _whole(self, file: LogFile, newest: str) -> bool:
        """Whether all of a log is settled, and nothing more is to come."""
        if (file.size and not file.verified) or not file.settled or file.trouble or file.unread:
            return False
        return file.name < newest or is_over(file.name, self.now() - SURE)

    @staticmethod
    def _rest(file: LogFile) -> bytes | Region | None:
        try:
            return file.rest()
        except OSError:
            return None  # it will not be deleted, either


def _deleted(files: Sequence[LogFile]) -> list[LogFile]:
    """Delete these logs of one folder, and return those that are deleted, also on disk."""
    deleted = [file for file in files if _delete(file)]
    if deleted:
        sync_folder(deleted[0].path.parent)
    return deleted


def _delete(file: LogFile) -> bool:
    """Delete a log, unless it has grown, is another file, or a writer has it open."""
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(descriptor)
        if found.st_size != file.size or (file.place[1] and (found.st_dev, found.st_ino) != file.place):
            return False
        file.path.unlink()
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)
