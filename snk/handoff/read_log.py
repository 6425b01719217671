"""Reads the logs of one backend, line by line, in the order of their names, while the backend is alive."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from snk.handoff.backend import Backend
from snk.handoff.logfile import CHUNK, Line, LogFile, Replaced
from snk.handoff.pool import Pool
from snk.handoff.progress import Progress, TornProgress

log = structlog.get_logger()

LOOK_AGAIN_SECONDS = 1.0
"""How long a log that could not be read is left alone."""
FAIR_LINES = 50
"""After so many lines, others get their turn."""
MOST_FILES = 64
"""Logs that are read in one go."""

Found = list[Line] | TornProgress | Replaced | OSError
"""What reading a log gave: lines, or why there are none."""


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
            files = self._some() if backend.sendable and backend.roomy else []
            if not files:
                await backend.wake_reader.wait()
                continue
            backend.reading = True
            results = await asyncio.to_thread(self._read, files)
            for file in files[len(results) :]:
                backend.offer(file.name)
            for file, found in results:
                await self._take(file, found)
            backend.reading = False

    def _some(self) -> list[LogFile]:
        """The next logs: one that is long, or several that are short, because each visit to the disk takes its time."""
        files: list[LogFile] = []
        size = 0
        while len(files) < MOST_FILES and size < CHUNK and (file := self._backend.unread()) is not None:
            files.append(file)
            size += max(0, file.size - file.looked)
        return files

    def _read(self, files: list[LogFile]) -> list[tuple[LogFile, Found]]:
        """Read from each log, up to one that must be looked at again: later ones wait, for they may have its keys.

        Runs in a thread.
        """
        results: list[tuple[LogFile, Found]] = []
        for file in files:
            results.append((file, self._read_one(file)))
            if not isinstance(results[-1][1], list):
                break
        return results

    def _read_one(self, file: LogFile) -> Found:
        try:
            if not file.verified and (why := _unfit(file)):
                return TornProgress(why)
            return file.more(self._most_line)
        except (Replaced, OSError) as error:
            return error

    async def _take(self, file: LogFile, found: Found) -> None:
        """Take up what reading found."""
        backend = self._backend
        match found:
            case TornProgress():
                file.progress = self._anew(file.path, file.progress, str(found))
                file.verified = True
                backend.offer(file.name)
            case Replaced():
                self._replace(file, "the log is another file than the one that was read")
            case FileNotFoundError():
                pass  # the next scan tells whether it was released or has vanished
            case OSError():
                self._unreadable(file, found.strerror or str(found))
            case _:
                await self._take_lines(file, found)

    async def _take_lines(self, file: LogFile, lines: list[Line]) -> None:
        if file.trouble:
            log.info("log_readable", backend=self._backend.name, log=file.name)
            file.trouble = ""
        file.cover()
        if file.unread:
            self._backend.offer(file.name)
        for number, line in enumerate(lines, start=1):
            if reason := self._pool.take(file, line):
                await self._pool.dead_on_arrival(file, line, reason)
            if number % FAIR_LINES == 0:
                await asyncio.sleep(0)
        self._backend.candidates.add(file.name)

    def _replace(self, file: LogFile, why: str) -> None:
        """Read a log from its start again; lines are settled only if it begins with what its progress is about."""
        if self._backend.logs.get(file.name) is not file:
            return
        lost = file.pending - file.under_way
        self._backend.counts.lost += max(0, lost)
        tell = log.warning if lost > 0 else log.info
        tell("log_replaced", backend=self._backend.name, log=file.name, reason=why, lines_not_read=max(0, lost))
        made = LogFile(file.path, file.progress.opened_again(), size=file.size)
        self._backend.logs[file.name] = made
        self._backend.offer(file.name)

    def _unreadable(self, file: LogFile, why: str) -> None:
        """Leave a log alone for a while; say so once."""
        asyncio.get_running_loop().call_later(LOOK_AGAIN_SECONDS, self._backend.offer, file.name)
        if file.trouble != why:
            file.trouble = why
            log.warning("log_unreadable", backend=self._backend.name, log=file.name, reason=why)


def _unfit(file: LogFile) -> str:
    """Why the progress of a log cannot be used; empty if it can."""
    try:
        file.verified = file.verify()
    except TornProgress as error:
        return str(error)
    return "" if file.verified else "it is about a log with another content"
