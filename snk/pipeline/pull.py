"""Pull (SSS): stores every frame from the base to now, whole, in its space, and looks again for late records.

Which frame is next follows from the base, the clock of the source and the files that are there. A frame is asked for
when the clock of the source is past its end and the delay, and stored whole or not at all. Within the lookback it is
asked for again, ever more rarely; records with new uids become a supplement of it.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import structlog

from snk.core.backoff import Backoff
from snk.core.breaker import Breaker
from snk.core.canonical import Digest
from snk.core.intervals import Intervals
from snk.pause import pause
from snk.pipeline.again import Again, granted, wished
from snk.pipeline.frame import Portion
from snk.pipeline.framefile import Making
from snk.pipeline.holding import Holding
from snk.pipeline.lateness import Lateness
from snk.pipeline.mapping import NoUids, Unfit
from snk.pipeline.page import NoPage, Page
from snk.pipeline.proof import Proofs
from snk.pipeline.quarantine import Quarantine
from snk.pipeline.schedule import Looking, Turns
from snk.pipeline.seen import Seen, Settled
from snk.pipeline.source import Failed, NotOver, Source
from snk.pipeline.space import Space, probe
from snk.pipeline.troubles import Failing

IDLE_SECONDS = 1.0
LEAST_SECONDS = 0.05
RETRY = Backoff(0.5, 60.0)
ROOM_SHARE = 0.95
"""Of the quota: below it there is room again. Files that come and go must not have it reached again and again."""
DOUBTS = 3
"""So often a frame is asked for none of whose records has a uid, before it is set aside."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pulling:
    """How frames are pulled.

    Attributes:
        looking: when they are due.
        delay: seconds from the end of a frame until it is asked for; the least, if ``follows``.
        follows: whether the delay follows the lateness of records.
        oldest_share: of all frames that are pulled, while there is a backlog.
        in_flight: how many frames are pulled at once.
        quota: bytes that both spaces may take; 0 is no limit.
    """

    looking: Looking
    delay: float
    follows: bool
    oldest_share: float
    in_flight: int
    quota: int


class Pull:
    """The frames that are missing, one after the other.

    Attributes:
        holding: what was pulled.
        breaker: whether the source may be asked.
        failing: frames that failed.
        lateness: of the records that were pulled.
        source: where frames come from.
        busy: frames that are being pulled.
        blocked: why nothing can be stored, such as a full disk; empty if nothing is wrong.
        full: how much of the quota is used if it is used up; empty if it is not.
        changed: how many records were found changed after they had been pulled.
        counted: how many records were pulled since the start.
        grid: the frames.
        again: frames that a person wants to be pulled once more.
    """

    def __init__(self, space: Space, source: Source, plan: Pulling) -> None:
        self.holding = Holding(space, Proofs(space))
        self.breaker = Breaker(plan.in_flight, RETRY)
        self.failing = Failing()
        self.lateness = Lateness()
        self.source = source
        self.busy: set[int] = set()
        self.grid = plan.looking.grid
        self.blocked = ""
        self.full = ""
        self.changed = 0
        self.counted = 0
        self.again: set[int] = set()
        self._space = space
        self._plan = plan
        self._turns = Turns(plan.oldest_share)
        self._looks: dict[int, float] = {}
        self._look_is_next = False
        self._storing = asyncio.Lock()
        self._reading = asyncio.Lock()
        self._unfit = Quarantine(space.unfit)
        self._set_aside: frozenset[Portion] = frozenset()
        self._size = 0
        self._doubts: dict[int, tuple[int, int]] = {}

    @property
    def delay(self) -> float:
        """Seconds from the end of a frame until it is asked for first."""
        if not self._plan.follows:
            return self._plan.delay
        return self.lateness.delay(self._plan.delay, self._plan.looking.lookback)

    @property
    def trouble(self) -> str:
        """Why nothing is pulled now; empty if something is, or nothing is due."""
        return self.blocked or self.full or (self.breaker.reason if self.breaker.state != "closed" else "")

    def missing(self) -> Intervals:
        """The frames that are due and not there."""
        return self._plan.looking.due(self.source.clock.now(), self.delay) - self.holding.pulled

    async def load(self) -> None:
        """See what is there."""
        async with self._storing:
            await asyncio.to_thread(self.holding.load)
            try:
                await asyncio.to_thread(self.holding.mend)
            except OSError as error:
                self.block(error)
        looking = self._plan.looking
        for frame, kept in self.holding.kept.items():
            if not kept.final:
                age = looking.next_age(kept.age, empty=not kept.records)
                self._looks[frame] = looking.grid.start(frame + 1) + age
        await self.refresh()

    async def refresh(self) -> None:
        """See what others did: proofs, and frames that a person lets try again."""
        async with self._storing:  # otherwise a frame that is being stored could be taken for missing
            self.holding.refresh()
        self._set_aside = self._unfit.portions()
        self.again = {portion.frame for portion in self._space.again.portions()}

    async def release(self) -> None:
        """Remove what was pushed; keep uids that could not be kept before."""
        async with self._storing:
            await asyncio.to_thread(self.holding.mend)
            await asyncio.to_thread(self.holding.release)
            for frame, kept in self.holding.kept.items():
                if not kept.final and frame not in self._looks:
                    self._looks[frame] = self.source.clock.now()

    async def work(self, stop: asyncio.Event) -> None:
        """Pull one frame after the other until told to stop."""
        while not stop.is_set():
            frame = self.choose()
            if frame is None:
                await pause(stop, self._idle_seconds())
                continue
            self.busy.add(frame)
            try:
                await self.pull(frame)
            finally:
                self.busy.discard(frame)

    def choose(self) -> int | None:
        """The frame that is pulled next; None if there is none now."""
        now = monotonic()
        if self.blocked or self.full or not self.breaker.admits(len(self.busy), now):
            return None
        source_now, held = self.source.clock.now(), self.failing.held(now)
        taken = self.busy | {portion.frame for portion in self._set_aside}
        due = [frame for frame, at in self._looks.items() if at <= source_now]
        looks = [(self._looks[frame], frame) for frame in due if frame not in taken and frame not in held]
        wishes = [frame for frame in self.again - taken if frame in self.holding.pulled and frame not in held]
        looks += [(source_now, frame) for frame in wishes]
        missing = (self.missing() - held).without(taken)
        self._look_is_next = not self._look_is_next
        if looks and (self._look_is_next or not missing):
            return min(looks)[1]
        return self._turns.choose(missing) if missing else None

    async def pull(self, frame: int) -> None:
        """Pull one frame now, and note how that went."""
        looking, portion = self._plan.looking, Portion(frame, self.holding.next_part(frame))
        making, again = None, await asyncio.to_thread(wished, self._space, frame) if portion.part else None
        if portion.part and again is None and frame not in self.holding.kept:
            self.again.discard(frame)  # the wish is gone, and there is nothing to tell new records by
            return
        try:
            known, began = self.source.clock.known, monotonic()
            making = Making(self._space.frames.file(portion))
            await self._fetch(frame, making)
            # The age at which it was asked for. Before the first answer, our own clock may be far off: then this was
            # not the last look, whatever it says.
            age = looking.age(frame, self.source.clock.now() - (monotonic() - began))
            await self._store(portion, making, age, final=known and looking.final(age), again=again)
        except NotOver:
            pass  # now the clock of the source is known, and the frame is chosen again when it is due
        except (Failed, NoPage) as error:
            self._failed(frame, error)
        except NoUids as error:
            await self._doubt(portion, error)
        except Unfit as error:
            await self._put_aside(portion, str(error))
        except OSError as error:
            self.block(error)
        else:
            if self.breaker.succeeded():
                self.failing.hurry()
            self.failing.over(frame)
            self._doubts.pop(frame, None)
        finally:
            if making is not None:
                making.discard()

    async def _fetch(self, frame: int, making: Making) -> None:
        """Write all records of a frame, as the source has them now.

        Raises:
            Failed: it must be asked for again.
            NoPage: an answer is not what the settings say.
            Unfit: a record cannot be stored.
        """
        grid = self.grid
        closed, total = None, None
        over_at = grid.start(frame + 1) + self.delay if frame not in self.holding.pulled else 0.0
        async for page in self.source.pages(grid.iso(frame), grid.iso(frame + 1), over_at):
            async with self._reading:
                await asyncio.to_thread(_add_all, page, making)
            total = page.total if page.total is not None else total
            if page.end:
                closed = closed or Digest()
                closed.merge(page.end)
        if total is not None and total != making.digest.count:
            raise Failed(f"it told of {total} records, and sent {making.digest.count}")
        if closed is not None and closed != making.digest:
            raise Failed("count or digest at its end do not fit its records")

    async def _store(self, portion: Portion, making: Making, age: float, *, final: bool, again: Again | None) -> None:
        looking, frame = self._plan.looking, portion.frame
        async with self._storing:
            settled = await asyncio.to_thread(self._settle, making, [] if again else self.holding.before(frame))
            before = self.holding.size(portion) if self._plan.quota and frame in self.holding.kept else 0
            await asyncio.to_thread(self.holding.store, portion, making, settled, age, final=final, again=again)
            if settled.new and self._plan.quota:
                await self._gain(self.holding.size(portion) - before)
        if again:
            await asyncio.to_thread(granted, self._space, frame, again)
            self.again.discard(frame)
        self.changed += settled.changed
        self.counted += settled.new
        if settled.changed:
            log.warning("records_changed", frame=looking.grid.iso(frame), records=settled.changed, effect="not pushed")
        if not portion.part:
            self.lateness.in_time(settled.new)
        elif again:
            log.info("pulled_again", frame=looking.grid.iso(frame), records=settled.new)
        elif settled.new:
            self.lateness.late(settled.new, age)
            log.info("late_records", frame=looking.grid.iso(frame), records=settled.new, age_seconds=round(age))
        self._looks.pop(frame, None)
        if not final:
            empty = not self.holding.kept[frame].records
            self._looks[frame] = looking.grid.start(frame + 1) + looking.next_age(age, empty=empty)

    def _settle(self, making: Making, before: Sequence[Seen]) -> Settled:
        settled = making.gathered.settle(before)
        if settled.twice is not None:
            raise Unfit(f"record {settled.twice} has the uid of another one, and other content")
        return settled

    def _failed(self, frame: int, error: Failed | NoPage) -> None:
        now, chance, reason = monotonic(), random.random(), str(error)  # noqa: S311 - jitter
        self.failing.failed(frame, reason, now, chance)
        was = self.breaker.state
        if isinstance(error, Failed) and error.after:
            self.breaker.wait(error.after * (1 + chance / 10), reason, now)
        elif isinstance(error, Failed) and error.whole:
            self.breaker.trip(reason, now, chance)
        else:
            self.breaker.failed(frame, reason, now, chance)
        if was == "closed" or len(self.failing) == 1:
            log.warning("pull_failed", frame=self.grid.iso(frame), reason=reason)

    async def _doubt(self, portion: Portion, error: NoUids) -> None:
        """Set a frame aside only if others are well meanwhile: an outage must not leave frames that need a person."""
        tries, counted = self._doubts.get(portion.frame, (0, self.counted))
        self._doubts[portion.frame] = (tries + 1, counted)
        if tries + 1 >= DOUBTS and self.counted > counted:
            await self._put_aside(portion, str(error))
        else:
            self._failed(portion.frame, Failed(str(error)))

    async def _put_aside(self, portion: Portion, reason: str) -> None:
        iso = self.grid.iso(portion.frame)
        try:
            await asyncio.to_thread(self._unfit.add, portion, iso, reason)
        except OSError as error:
            self.block(error)
            return
        self._set_aside |= {portion}
        self._looks.pop(portion.frame, None)
        log.error("frame_quarantined", frame=iso, reason=reason)

    def block(self, error: OSError) -> None:
        """Pull nothing until the space can be written again."""
        if not self.blocked:
            log.error("space_unwritable", reason=error.strerror, effect="nothing is pulled until it can be written")
        self.blocked = f"{self._space.sss} cannot be written: {error.strerror}"

    def unblock(self) -> None:
        """Go on if the space can be written.

        Raises:
            OSError: it cannot.
        """
        if self.blocked:
            probe(self._space.sss)
            log.info("space_writable", effect="frames are pulled again")
        self.blocked = ""

    async def weigh(self) -> None:
        """See whether both spaces together keep to the quota; nothing is stored meanwhile, as it might count twice."""
        if self._plan.quota:
            async with self._storing:
                self._keep_to_quota(await asyncio.to_thread(self._space.size))

    async def _gain(self, size: int) -> None:
        """Add what was stored. Before that is too much all is weighed, as files may have been removed since then."""
        total = self._size + size
        if total >= self._plan.quota and not self.full:
            total = await asyncio.to_thread(self._space.size)
        self._keep_to_quota(total)

    def _keep_to_quota(self, size: int) -> None:
        """Pull nothing while so many bytes are too many. What is stored is added until all is weighed again."""
        self._size, quota = size, self._plan.quota
        was, most = self.full, quota * ROOM_SHARE if self.full else quota
        self.full = f"{size:,} of {quota:,} bytes are used (pipeline.quota_bytes)" * (size >= most)
        if self.full and not was:
            log.error("quota_reached", bytes=size, quota_bytes=quota, effect="nothing is pulled until there is room")

    def _idle_seconds(self) -> float:
        """How long there is nothing to do, as far as is known."""
        now, source_now = monotonic(), self.source.clock.now()
        looking = self._plan.looking
        ended = looking.grid.ended(source_now - self.delay)
        waits = [looking.grid.start(ended + 1) + self.delay - source_now]
        waits += [at - source_now for at in self._looks.values()]
        if (until := self.failing.next()) is not None:
            waits.append(until - now)
        if self.breaker.state != "closed":
            waits = [self.breaker.until - now]
        return min(IDLE_SECONDS, max(LEAST_SECONDS, min(waits)))


def _add_all(page: Page, making: Making) -> None:
    for uid, record, text in page.records():
        try:
            making.add(uid, record, text)
        except ValueError as error:
            raise Unfit(f"record {making.gathered.lines} cannot be stored: {error}") from None
