"""One life of a flow: from the destination's mark to the first error.

A session holds in memory what it has read and not written yet. On any error the whole session is dropped, and the next
one starts from the mark. This is the only recovery path, so it is tested all the time.
"""

import asyncio
import time
from contextlib import suppress

import structlog

from snk.pair.core.pace import BatchSize
from snk.pair.sync.batch import Batch
from snk.pair.sync.delivery import Delivery
from snk.pair.sync.intake import Intake
from snk.pair.sync.link import Link
from snk.pair.sync.parts import FlowParts
from snk.pair.sync.referred import Referred
from snk.pair.sync.start import Start
from snk.pair.sync.turns import NO_TURN, Turn
from snk.pair.sync.upkeep import Upkeep
from snk.pair.sync.watch import Sleeper

log = structlog.get_logger()


class Session:
    """Tails the source and writes into the destination, in steps that are safe to repeat.

    A step writes what it reads; if more rows are waiting, it reads the next batch while it writes the current one. At
    most one batch is ahead of the mark at any time.

    Attributes:
        intake: reads the source.
    """

    def __init__(self, link: Link, parts: FlowParts, start: Start, size: BatchSize, referred: Referred) -> None:
        self.intake = Intake(link.source, parts, start, size)
        self._delivery = Delivery(link, parts, start, referred)
        self._upkeep = Upkeep(link, parts, self.intake, self._delivery, referred)
        self._link = link
        self._parts = parts
        self._referred = referred
        self._beaten_at = (-1, -1)
        self._ahead: Batch | None = None

    async def step(self, turn: Turn) -> bool:
        """Deliver one batch; if more rows are waiting, read the next batch meanwhile.

        Args:
            turn: the turn to give up while rows wait for others.

        Returns:
            Whether anything moved; if not, the caller may wait briefly.
        """
        self._delivery.turn = turn
        batch, self._ahead = self._ahead or await self.intake.read(), None
        if batch.full:
            self._ahead = await self._read_while_writing(batch)
            self.intake.take_more()
        else:
            await self._delivery.write(batch)
        self._parts.progress.stepped()
        if self._ahead is None and self._referred.tries_again(time.monotonic()):
            await self._upkeep.try_again(hopeful=True)
        if self._upkeep.due:
            self._beaten_at = self._changes()
            await self._upkeep.beat(ahead=self.behind)
        elif self.intake.late.more and not batch.moved:
            await self._upkeep.bring_late()
        return batch.moved or self.intake.late.more

    @property
    def behind(self) -> bool:
        """Whether more rows are known to be waiting."""
        return self._ahead is not None

    @property
    def proven(self) -> bool:
        """Whether the destination accepted a batch or a beat succeeded, which proves that both servers work."""
        return self._delivery.proven or self._upkeep.proven

    async def gather(self) -> None:
        """Under load, wait briefly so that the next read finds more rows."""
        if not self.behind:
            await self.intake.gather()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do until somebody wakes this flow.

        That is not so if a batch is in hand, rows are requested, holes may fill, the mark is not saved or not known to
        be durable yet, or rows were set aside a moment ago and wait for rows that they refer to.
        """
        intake = self.intake
        waiting = self.behind or self._parts.requested or intake.late.more or intake.tail.fenced
        settled = intake.safe == intake.tail.high and self._delivery.saved(intake.tail, intake.safe)
        return settled and not waiting and not self._referred.attentive(time.monotonic())

    async def doze(self) -> None:
        """Sleep until there may be something to do; return at once if there is.

        This is called with a session that is `idle`. From here on the watch wakes it, and only now it reads once more:
        nothing is missed in between.
        """
        around, alarm = self._parts.around, self._parts.alarm
        alarm.clear()
        sleeper = Sleeper(self._link.source.reader.ids, self.intake.tail.high, alarm)
        with around.source_watch.watched(sleeper), around.arrivals.asleep(self._referred.table.name, alarm):
            while not (await self.step(NO_TURN) or alarm.is_set()) and self.idle:
                with self._parts.progress.watched_by(around.source_watch):
                    await self._until_something_ends(alarm)

    async def _until_something_ends(self, alarm: asyncio.Event) -> None:
        """Wait for the alarm, or for a time after which a beat is due because a transaction has ended in a server."""
        while not alarm.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._upkeep.rest_seconds):
                    await alarm.wait()
            if self._upkeep.attentive or self._beaten_at != self._changes():
                return

    def _changes(self) -> tuple[int, int]:
        around = self._parts.around
        return around.source_watch.changes, around.destination_watch.changes

    async def finish(self) -> None:
        """Write the batch in hand, and the mark if it has moved without rows."""
        batch, self._ahead = self._ahead, None
        if batch:
            await self._delivery.write(batch)
        await self._delivery.save(self.intake.tail, self.intake.safe)

    async def _read_while_writing(self, batch: Batch) -> Batch:
        # No TaskGroup: before Python 3.11.4, a failed TaskGroup leaves its parent marked as cancelled, and the next
        # asyncio.timeout() of that task would end the flow silently.
        writing = asyncio.create_task(self._delivery.write(batch))
        try:
            ahead = await self.intake.read()
        except BaseException:
            writing.cancel()
            (ended,) = await asyncio.gather(writing, return_exceptions=True)
            if isinstance(ended, Exception):  # the caller sees the error of the read
                log.debug("batch_not_written", **self._parts.route.labels, error=str(ended))
            raise
        await writing
        return ahead
