"""Forces progress to disk in groups, and writes again what a full disk refused."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVarTuple

import structlog

from snk.handoff.progress import Progress
from snk.log import Reminder

GROUP_SECONDS = 0.2
"""A file is forced to disk at most once in this time."""
RETRY_SECONDS = 0.5

P = TypeVarTuple("P")

log = structlog.get_logger()


class Durable:
    """The progress that may not be on disk yet, or that could not even be written.

    Attributes:
        trouble: why progress cannot be written; nothing is sent meanwhile.
        writable: set while there is no trouble.
        wake: what is called when the trouble is over.
    """

    def __init__(self) -> None:
        self.trouble = ""
        self.writable = asyncio.Event()
        self.writable.set()
        self._dirty: set[Progress] = set()
        self._unsaved: set[Progress] = set()
        self.wake: list[Callable[[], None]] = []
        self._blocked = 0
        self._wanted = asyncio.Event()
        self._reminder = Reminder()

    def note(self, progress: Progress) -> None:
        """Something was recorded there."""
        if not progress.saved:
            self._unsaved.add(progress)
            self.fail(f"progress cannot be written: {progress.fault}")
        else:
            self._dirty.add(progress)
        self._wanted.set()

    async def persist(self, what: str, write: Callable[[*P], None], *given: *P) -> None:
        """Call something that writes to disk until it succeeds; nothing is sent meanwhile.

        Args:
            what: what it writes.
            write: what is called, in a thread.
            given: what it is called with.
        """
        blocked = False
        while True:
            try:
                await asyncio.to_thread(write, *given)
            except OSError as error:
                self._blocked += not blocked
                blocked = True
                self.fail(f"{what} cannot be written: {error.strerror}")
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._blocked -= blocked
                self._wanted.set()
                return

    def fail(self, reason: str) -> None:
        """Writing failed: nothing is sent until it succeeds."""
        self.trouble = reason
        self.writable.clear()
        self._wanted.set()
        if self._reminder.due("unwritable"):  # one line a minute, whatever it is that fails
            log.error("state_unwritable", reason=reason, effect="nothing is sent until it can be written")

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop; then once more."""
        stopping = asyncio.create_task(stop.wait())
        while not stop.is_set():
            wanted = asyncio.create_task(self._wanted.wait())
            await asyncio.wait((stopping, wanted), return_when=asyncio.FIRST_COMPLETED)
            wanted.cancel()
            self._wanted.clear()
            await self.once()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(stopping), RETRY_SECONDS if self.trouble else GROUP_SECONDS)
        await self.once()

    async def once(self) -> None:
        """Write what could not be written, and force everything to disk."""
        unsaved, self._unsaved = self._unsaved, set()
        dirty, self._dirty = self._dirty | unsaved, set()
        if dirty or unsaved:
            why = self._saved(unsaved) or await asyncio.to_thread(_force, dirty)
            if why:
                self._unsaved |= dirty  # after a failure, a later success would say nothing about these bytes
                self.fail(f"progress cannot be written: {why}")
        if self.trouble and not (self._blocked or self._unsaved):
            self.trouble = ""
            self._reminder.over()
            self.writable.set()
            for wake in self.wake:
                wake()
            log.info("state_writable", effect="lines are sent again")

    @staticmethod
    def _saved(some: set[Progress]) -> str:
        """Write all of these again; return why that failed, or an empty text."""
        try:
            for progress in some:
                progress.save()
        except OSError as error:
            return error.strerror or str(error)
        return ""


def _force(some: set[Progress]) -> str:
    """Force files to disk; return why that failed, or an empty text."""
    try:
        for progress in some:
            progress.force()
    except OSError as error:
        return error.strerror or str(error)
    return ""
