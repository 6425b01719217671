"""One life of a flow: from the destination's mark to the first error.

A session holds in memory what it has read and not written yet. On any error the whole session is dropped, and the next
one starts from the mark. This is the only recovery path, so it is tested all the time.
"""

import asyncio
import time
from contextlib import ExitStack, suppress

import structlog

from snk.core.bucket import Bucket
from snk.db.errors import refused
from snk.errors import SnkError
from snk.pair.core.pace import BatchSize
from snk.pair.sync.batch import Batch
from snk.pair.sync.delivery import Delivery
from snk.pair.sync.intake import Intake
from snk.pair.sync.link import Link
from snk.pair.sync.parts import FlowParts
from snk.pair.sync.referred import Referred
from snk.pair.sync.rounds import Resting
from snk.pair.sync.start import Start
from snk.pair.sync.turns import NO_TURN, Turn
from snk.pair.sync.upkeep import Upkeep
from snk.pair.sync.watch import Sleeper

FEW_IDS = 100
MOVES_PER_SECOND = 50.0
MOVES_AT_ONCE = 10.0
SETTLE_SECONDS = 0.25  # servers write their WAL within a fifth of a second

log = structlog.get_logger()


class Session:
    """Tails the source and writes into the destination, in steps that are safe to repeat.

    A step writes what it reads; if more rows are waiting, it reads the next batch while it writes the current one. At
    most one batch is ahead of the mark at any time.

    Attributes:
        intake: reads the source.
        quiet: nothing was there to be read when it began, and it has not read yet.
    """

    def __init__(self, link: Link, parts: FlowParts, start: Start, size: BatchSize, referred: Referred) -> None:
        self.intake = Intake(link.source, parts, start, size)
        self.quiet = start.quiet
        self._delivery = Delivery(link, parts, start, referred)
        self._upkeep = Upkeep(link, parts, self.intake, self._delivery, referred)
        self._link = link
        self._parts = parts
        self._referred = referred
        self._sleeper = Sleeper(link.source.reader.ids, self.intake.tail.high, parts.alarm)
        self._moves = Bucket(MOVES_PER_SECOND, MOVES_AT_ONCE)
        self._changes = -1
        self._moved = False
        self._ahead: Batch | None = None

    async def step(self, turn: Turn) -> bool:
        """Deliver one batch; if more rows are waiting, read the next batch meanwhile.

        Args:
            turn: the turn to give up while rows wait for others.

        Returns:
            Whether anything moved; if not, the caller may wait briefly.
        """
        self._delivery.turn, self.quiet = turn, False
        batch, self._ahead = self._ahead or await self.intake.read(), None
        self._sleeper.high = self.intake.tail.high
        if batch.full:
            self._ahead = await self._read_while_writing(batch)
            self.intake.take_more()
        else:
            await self._delivery.write(batch)
        self._parts.progress.stepped()
        if self._ahead is None and self._referred.tries_again(time.monotonic()):
            await self._upkeep.try_again(hopeful=True)
        if self._upkeep.due:
            if self.intake.late.due or not self.intake.late.pending:
                self._changes = self._parts.around.source.watch.changes
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
    def calm(self) -> bool:
        """Whether there is nothing to do until somebody wakes this flow, except to save the mark.

        That is not so if a batch is in hand, rows are requested, holes may fill, or rows were set aside a moment ago
        and wait for rows that they refer to.
        """
        intake = self.intake
        waiting = self.behind or self._parts.requested or intake.late.more or intake.tail.fenced
        return not waiting and not self._referred.attentive(time.monotonic())

    @property
    def _settled(self) -> bool:
        """Whether the mark says how far the source was read, and all of that is durable."""
        intake = self.intake
        return intake.safe == intake.tail.high and self._delivery.saved(intake.tail, intake.safe)

    async def doze(self, stop: asyncio.Event) -> None:
        """Sleep until something moves or there is something to do, or ``stop`` is set and the alarm with it.

        This is called with a session that is `calm`. From here on others look after it, and only now it reads once
        more: nothing is missed in between. If nothing was there when it began, it need not even read; it only has the
        servers prepare its statements, when it is its turn. Rows that come now and then are delivered between two
        naps; when they come in numbers, this ends.
        """
        alarm, source = self._parts.alarm, self._parts.around.source
        alarm.clear()
        with ExitStack() as others:
            self._leave_to(others)
            if self.quiet and not await self._woken_within(source.rounds.turn_seconds()):
                await self._prepare()
            while not stop.is_set() and (self.quiet or (await self._stir() and self.calm)):
                self.quiet = False
                self.intake.shrink()
                await self._until_woken()
                if self.intake.late.due and self._changes != source.watch.changes:
                    self._upkeep.want()
                elif not self._moved:
                    self._upkeep.rested()
                alarm.clear()

    def close(self) -> None:
        """Leave nothing that others would look after."""
        self.intake.shrink()
        self._parts.around.source.watch.forget(self._sleeper)

    async def _prepare(self) -> None:
        """Have the servers prepare the statements that the first row needs; while the table is locked, they do not."""
        try:
            await self._link.source.reader.prepare()
            await self._link.destination.writer.prepare()
        except SnkError as error:
            if not refused(error):
                raise
            log.debug("not_prepared", **self._parts.route.labels, error=str(error))

    async def _woken_within(self, seconds: float | None) -> bool:
        """Whether somebody wakes this flow within some time; None for no limit."""
        alarm = self._parts.alarm
        with self._parts.progress.watched_by(self._parts.around.source.watch), suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await alarm.wait()
        return alarm.is_set()

    async def _stir(self) -> bool:
        """Read once more, and save the mark if all that was read is durable now; return whether there is time to nap.

        After a few rows there is: whatever was committed after the read wakes again.
        """
        high, turns = self.intake.tail.high, self._parts.around.turns
        with turns.awake():
            moved, crowded = await self.step(NO_TURN), turns.crowd > 1
        self._moved = moved
        if moved:
            few = self.intake.tail.high - high <= FEW_IDS and not self._moves.take(time.monotonic())
            return few or crowded
        if not self._settled and self.intake.safe == self.intake.tail.high:
            await self._delivery.save(self.intake.tail, self.intake.safe)
        return True

    def _disturb(self) -> None:
        self._upkeep.want()
        self._parts.alarm.set()

    def _leave_to(self, others: ExitStack) -> None:
        """Have others wake this flow."""
        link, alarm = self._link, self._parts.alarm
        source, destination = self._parts.around.source, self._parts.around.destination
        reads = Resting(link.source.check.shape, self._disturb, high=lambda: self.intake.tail.high)
        writes = Resting(link.destination.check.shape, self._disturb, kept=self._delivery)
        others.enter_context(source.watch.asleep(self._sleeper))
        others.enter_context(source.rounds.looked_after(reads))
        others.enter_context(destination.rounds.looked_after(writes))
        others.enter_context(destination.arrivals.asleep(self._referred.table.name, alarm))

    async def _until_woken(self) -> None:
        """Wait for the alarm, but only briefly while the mark is unsaved or rows may still appear late."""
        source = self._parts.around.source
        while True:
            settled = self._settled
            late_seconds = source.rounds.own_seconds if self.intake.late.pending else None
            if await self._woken_within(late_seconds if settled else SETTLE_SECONDS) or not settled:
                return
            if self._changes != source.watch.changes:
                self._upkeep.want()
                return

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
