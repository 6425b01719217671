"""Reads the logs of one backend, line by line, in the order of their names, while the backend is alive."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from snk.handoff.backend import Backend
from snk.handoff.logfile import LogFile, Replaced
from snk.handoff.pool import Pool
from snk.handoff.progress import Progress, TornProgress

log = structlog.get_logger()

LOOK_AGAIN_SECONDS = 1.0
"""How long a log that could not be read is left alone."""
FAIR_LINES = 50
"""After so many lines, others get their turn."""


class ReadLog:
    """The reader of one backend.

    Args:
        backend: whose logs are read.
        pool: takes the lines.
        anew: makes the progress of a log whose former progress cannot be used, which it keeps aside.
        most_line: how many bytes a line may have.
    """

    def __init__(
        self, backend: Backend, pool: Pool, anew: Callable[[Path, Progress, str], Progress], most_line: int
    ) -> None:
        self._backend = backend
        self._pool = pool
        self._anew = anew
        self._most_line = most_line

    async def run(self) -> None:
        """Read whatever there is to read, for ever."""
        backend = self._backend
        while True:
            backend.wake_reader.clear()
            file = backend.unread() if backend.sendable and backend.roomy else None
            if file is None:
                await backend.wake_reader.wait()
            else:
                backend.reading = True
                await self._read(file)
                backend.reading = False

    async def _read(self, file: LogFile) -> None:
        try:
            if not file.verified:
                await self._verify(file)
            lines = await asyncio.to_thread(file.more, self._most_line)
        except Replaced:
            self.replace(file, "the log is another file than the one that was read")
            return
        except FileNotFoundError:
            return  # the next scan tells whether it was released or has vanished
        except OSError as error:
            self._unreadable(file, error.strerror or str(error))
            return
        if file.trouble:
            log.info("log_readable", backend=self._backend.name, log=file.name)
            file.trouble = ""
        if file.unread:
            self._backend.offer(file.name)
        for number, line in enumerate(lines, start=1):
            await self._pool.take(file, line)
            if number % FAIR_LINES == 0:
                await asyncio.sleep(0)

    async def _verify(self, file: LogFile) -> None:
        """Load the progress of a log, and see whether it is about this file."""
        why = ""
        try:
            if not await asyncio.to_thread(file.verify):
                why = "it is about a log with another content"
        except TornProgress as error:
            why = str(error)
        if why:
            file.progress = self._anew(file.path, file.progress, why)
        file.verified = True

    def replace(self, file: LogFile, why: str) -> None:
        """Read a log from its start again, as one that is new."""
        if self._backend.logs.get(file.name) is not file:
            return
        lost = file.pending - file.under_way
        self._backend.counts.lost += max(0, lost)
        tell = log.warning if lost > 0 else log.info
        tell("log_replaced", backend=self._backend.name, log=file.name, reason=why, lines_not_read=max(0, lost))
        made = LogFile(file.path, self._anew(file.path, file.progress, why), size=file.size)
        self._backend.logs[file.name] = made
        self._backend.offer(file.name)

    def _unreadable(self, file: LogFile, why: str) -> None:
        """Leave a log alone for a while; say so once."""
        asyncio.get_running_loop().call_later(LOOK_AGAIN_SECONDS, self._backend.offer, file.name)
        if file.trouble != why:
            file.trouble = why
            log.warning("log_unreadable", backend=self._backend.name, log=file.name, reason=why)
