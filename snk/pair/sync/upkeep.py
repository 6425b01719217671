"""What a session does twice a second besides tailing: checks that nothing has changed, and delivers rows by uuid.

While many flows are awake, each does so less often.
"""

import time
from collections.abc import Sequence

import structlog

from snk.errors import MarkMoved
from snk.pair.core.report import Blocker
from snk.pair.sync.delivery import Delivery
from snk.pair.sync.intake import Intake
from snk.pair.sync.link import Link
from snk.pair.sync.parts import FlowParts
from snk.pair.sync.referred import Referred

BEAT_SECONDS = 0.5
UNCHANGED_SECONDS = 2.0
MANY = 10  # pairs of flows that are awake; a beat is so many times rarer as there are more of them
MOST_TIMES = 20
MOST_AGAIN = 100
MOST_NAMED = 1000
NAMED_SECONDS = 0.25  # maximum time per beat; new rows wait meanwhile

log = structlog.get_logger()


class Upkeep:
    """Checks one session's tables and mark, and delivers the rows that tailing does not.

    Attributes:
        proven: a beat succeeded, which proves that both servers work.
    """

    def __init__(self, link: Link, parts: FlowParts, intake: Intake, delivery: Delivery, referred: Referred) -> None:
        self.proven = False
        self._link = link
        self._parts = parts
        self._intake = intake
        self._delivery = delivery
        self._referred = referred
        self._seen_unchanged = self._beaten = time.monotonic()
        self._wanted = False

    @property
    def due(self) -> bool:
        """Whether it is time for a beat."""
        return self._wanted or time.monotonic() - self._beaten > self._at_intervals_of(BEAT_SECONDS)

    def _at_intervals_of(self, seconds: float) -> float:
        """While many flows are awake, each does less besides tailing, unless it has to prove itself or to deliver."""
        if self._parts.requested or not (self.proven or self._delivery.proven):
            return seconds
        return seconds * min(MOST_TIMES, max(1.0, self._parts.around.turns.crowd / MANY))

    def want(self) -> None:
        """Something may have changed: a beat is due."""
        self._wanted = True

    def rested(self) -> None:
        """Others have looked after the flow until now, and nothing has come that would need a beat."""
        self._beaten = time.monotonic()

    async def beat(self, *, ahead: bool) -> None:
        """Save the mark or check that it is still ours, check that the tables are unchanged, and look at the source.

        Args:
            ahead: a batch was read and is not written yet: deliver nothing else before it, and leave the mark.

        Raises:
            MarkMoved, TableChanged: something has changed; a new session must start.
        """
        self._beaten, self._wanted = time.monotonic(), False
        if not ahead:
            await self._delivery.save(self._intake.tail, self._intake.safe)
        await self._see_unchanged()
        if not ahead:
            if self._delivery.aside.rows:
                await self.try_again()
            await self._bring_requested()
            await self.bring_late()
        await self._look()
        self.proven = True

    async def try_again(self, *, hopeful: bool = False) -> None:
        """Retry refused rows that are due, or that may be accepted now that other rows have arrived."""
        portion, seen = self._intake.portion_of(MOST_AGAIN), self._referred.arrivals
        if due := await self._link.destination.writer.due(portion.rows, hopeful=hopeful):
            found = await self._link.source.reader.named(due, portion)
            await self._delivery.write(await self._intake.batch(found.rows, found.unread, due[: found.asked]))
        else:  # a person may have removed some
            await self._delivery.count_aside()
        if hopeful:
            self._referred.tried(seen, time.monotonic())

    async def bring_late(self) -> None:
        """Deliver late rows between two reads, for a limited time."""
        late, until, brought = self._intake.late, time.monotonic() + NAMED_SECONDS, 0
        portion = self._intake.portion
        while late.due:
            batch, portion = await self._intake.read_late(portion)
            await self._delivery.write(batch)
            brought += len(batch.rows)
            if time.monotonic() > until:
                break
        if brought:
            log.warning("rows_came_late", **self._parts.route.labels, rows=brought)
            self._parts.meter.late += brought
        await late.keep(self._link.destination.writer)

    async def _bring_requested(self) -> None:
        """Deliver requested rows by uuid: those that tailing cannot see."""
        requested, until = self._parts.requested, time.monotonic() + NAMED_SECONDS
        portion = self._intake.portion_of(MOST_NAMED)
        while uuids := requested.first(MOST_NAMED):
            found = await self._link.source.reader.named(uuids, portion)
            await self._delivery.write(await self._intake.batch(found.rows, found.unread))
            requested.settle(found.asked)
            portion = found.portion
            if time.monotonic() > until:
                return

    async def _see_unchanged(self) -> None:
        """Check at intervals that both tables are unchanged; a change that is noticed late loses no rows."""
        if time.monotonic() - self._seen_unchanged > self._at_intervals_of(UNCHANGED_SECONDS):
            self._seen_unchanged = time.monotonic()
            for end in (self._link.source, self._link.destination):
                await end.check.see_unchanged()
            await self._delivery.count_conflicts()

    async def _look(self) -> None:
        """Look at the greatest id of the source, and at the sessions that hold holes open."""
        reader, tail = self._link.source.reader, self._intake.tail
        _, greatest = await reader.bounds()
        if await reader.went_back(tail.high, greatest):
            raise MarkMoved(f"{self._link.table}: the greatest id is {greatest}, below the mark {tail.high}")
        blockers: Sequence[Blocker] = await reader.blockers(tail.writers) if tail.writers else ()
        self._parts.meter.looked(0 if greatest is None else greatest - tail.high, blockers)
