"""Push (RSS): sends what was pulled, record by record, and proves each frame.

A portion that was begun is resumed after the records in its UID file; then come new ones. A record whose answer was
lost is sent again with the same Idempotency-Key. When all are acknowledged, the Done file is written, and only then the
UID file is removed; pull removes the frame's file when it sees the Done file.

Requests are sent by as many lanes as may be in flight. A lane takes the next record of the frame that is being read; at
its end the next frame is opened, while the answers of the last records are still awaited. While all lanes wait for
answers, what was acknowledged is written down and records are read ahead, so that the server does not wait for that.
"""

import asyncio
import random
from collections import deque
from time import monotonic

import structlog

from snk.core.backoff import Backoff
from snk.core.breaker import Breaker
from snk.http.client import Answered, NoAnswer
from snk.pause import pause
from snk.pipeline.frame import Portion
from snk.pipeline.mapping import Mapper
from snk.pipeline.meanwhile import Meanwhile
from snk.pipeline.outcome import CONFLICT, Outcome
from snk.pipeline.parcels import Parcels
from snk.pipeline.proof import Proofs
from snk.pipeline.quarantine import Quarantine
from snk.pipeline.schedule import Turns
from snk.pipeline.sink import Parcel, Sink
from snk.pipeline.space import Space, probe
from snk.pipeline.troubles import Failing
from snk.pipeline.waiting import Waiting

IDLE_SECONDS = 1.0
LEAST_SECONDS = 0.02
AHEAD, AHEAD_BYTES = 50, 256 * 1024
"""So many requests, or so many bytes, are read ahead for all lanes together."""
MOST_OPEN = 100
"""So many portions are open at once, beside one for each lane."""
RETRY_SECONDS = 0.5
GROUP_RECORDS = 100
TOO_MANY = 429
TURNS = 5
"""After so many tries of a record another frame gets its turn."""
CONFLICT_TRIES = 4
"""So often a 409 is asked about again, because the first request may still be running."""

log = structlog.get_logger()


class Push:
    """What was pulled and is not proven, one portion after the other.

    Attributes:
        proofs: of what was pushed.
        breaker: whether the server may be sent records.
        failing: frames that failed.
        open: portions of which records are taken or under way.
        waiting: portions that wait.
        blocked: why nothing is sent at all, such as a full disk; empty if nothing is wrong.
        sent: how many records were acknowledged since the start.
        more: set when there is something to send.
        noted: set when a portion is over, or so many records were acknowledged that they are forced to disk.
        on_wire: how many requests are under way.
        grid: the frames.
    """

    def __init__(self, space: Space, sink: Sink, mapper: Mapper, retry: Backoff, oldest_share: float) -> None:
        self.proofs = Proofs(space)
        self.breaker = Breaker(sink.sending.slots, retry)
        self.failing = Failing()
        self.open: list[Parcels] = []
        self.waiting = Waiting(Turns(oldest_share))
        self.blocked = ""
        self.sent = 0
        self.more = asyncio.Event()
        self.noted = asyncio.Event()
        self.on_wire = 0
        self.grid = space.grid
        self._space = space
        self._sink = sink
        self._mapper = mapper
        self._retry = retry
        self._refused = Quarantine(space.refused)
        self._ahead: deque[tuple[Parcels, Parcel]] = deque()
        self._later = Meanwhile(self.meanwhile, self.more.set)
        self._noted_soon: list[Parcels] = []
        self._current: Parcels | None = None
        self._tries: dict[tuple[Portion, str], tuple[int, int]] = {}

    @property
    def slots(self) -> int:
        """How many requests may be under way."""
        return self._sink.sending.slots

    @property
    def stale(self) -> bool:
        """Whether frames that failed are due again."""
        until = self.failing.next()
        return until is not None and until <= monotonic()

    @property
    def trouble(self) -> str:
        """Why nothing is sent now; empty if something is, or nothing waits."""
        return self.blocked or (self.breaker.reason if self.breaker.state != "closed" else "")

    def load(self) -> None:
        """See what is there, and remove what a crash left: UID files of portions that are done."""
        for folder in (self._space.uids, self._space.done, self._space.refused):
            for file in folder.path.glob(".*"):
                file.unlink()
        self.proofs.refresh()
        for ours in (self._space.uids, self._space.doubts):
            for portion in ours.portions():
                if portion in self.proofs:
                    ours.file(portion).unlink()
        self.refresh()

    async def close(self) -> None:
        """Close all connections and files."""
        self._later.cancel()
        for parcels in self.open:
            parcels.close()
        await self._sink.close()

    def refresh(self) -> None:
        """See what was pulled, and what a person lets try again."""
        self.proofs.refresh()
        there, aside = self._space.frames.portions(), self._refused.portions()
        busy = {parcels.portion for parcels in self.open}
        waiting = [each for each in there - aside - busy if each not in self.proofs]
        self.waiting.see(waiting, self._space.uids.portions())
        if waiting:
            self.more.set()

    async def lane(self, stop: asyncio.Event) -> None:
        """Send one record after the other until told to stop."""
        while not stop.is_set():
            if self._later.failure:
                raise self._later.failure
            if self.blocked or not self.breaker.admits(self.on_wire, monotonic()):
                await pause(stop, self._closed_seconds())
                continue
            found = self._next()
            if found is None:
                await self._idle()
                continue
            parcels, parcel = found
            if len(self._ahead) < self.slots:
                self._later.soon()
            try:
                await self._deliver(parcels, parcel, stop)
            finally:
                parcels.under_way -= 1
                if parcels.over or parcels.uids.dirty >= GROUP_RECORDS:
                    self.noted.set()

    def _next(self) -> tuple[Parcels, Parcel] | None:
        """The next record, which may have been read before; None if there is none now."""
        found = self._ahead.popleft() if self._ahead else self._take()
        if found is not None:
            try:
                found[0].doubts.start()
            except OSError as error:
                self.block(error)
                self._ahead.appendleft(found)
                return None
        return found

    def meanwhile(self) -> None:
        """Write down what was acknowledged, and have records ready for all lanes.

        Many are read at once, which costs much less than one by one.
        """
        self._write_down()
        if len(self._ahead) >= self.slots:
            return
        read = 0
        while len(self._ahead) < self.slots + AHEAD and read < AHEAD_BYTES and (found := self._take()):
            self._ahead.append(found)
            read += sum(map(len, found[1].bodies))

    def _write_down(self) -> None:
        """Write the uids of what was acknowledged."""
        noted, self._noted_soon = self._noted_soon, []
        for parcels in noted:
            try:
                parcels.uids.save()
            except OSError as error:
                self.block(error)

    def _take(self) -> tuple[Parcels, Parcel] | None:
        """The next record; None if there is none now."""
        while True:
            if self._current is None and not self._open_next():
                return None
            assert self._current  # noqa: S101 - it was opened
            parcels = self._current
            parcel = parcels.take()
            if parcel is not None:
                return parcels, parcel
            if not parcels.drained:
                return None
            self._current = None
            self.noted.set()

    def _open_next(self) -> bool:
        if len(self.open) >= self.slots + MOST_OPEN:  # each has files open, until it is finished
            self.noted.set()
            return False
        portion = self.waiting.choose(self.failing.held(monotonic()))
        if portion is None:
            return False
        try:
            self._current = Parcels(self._space, portion, self._mapper, self._sink.sending)
        except OSError as error:
            self.block(error)
            return False
        self.open.append(self._current)
        return True

    async def _deliver(self, parcels: Parcels, parcel: Parcel, stop: asyncio.Event) -> None:
        """Send a record until it is acknowledged, its portion is set aside, or it is time to stop."""
        backoff, conflicts = self._retry, 0
        while not (stop.is_set() or parcels.trouble):
            if not self.breaker.admits(self.on_wire, monotonic()):
                await pause(stop, self._closed_seconds())
                continue
            answer = await self._answer(parcels, parcel)
            if answer is None:
                continue
            # A batch may conflict because of one of its records, so no conflict tells that all are stored.
            perhaps_sent = not parcel.batch and (parcels.again or parcels.doubts.has(parcel.uids[0]))
            outcome = self._sink.judge(answer, perhaps_sent=perhaps_sent, patient=conflicts < CONFLICT_TRIES)
            if outcome in ("done", "stored"):
                self._acknowledged(parcels, parcel, stored=outcome == "stored")
                return
            if outcome == "refused" and parcel.batch:
                for single in parcels.singles(parcel):
                    await self._deliver(parcels, single, stop)
                return
            conflicts += answer.status == CONFLICT
            self._not_taken(parcels, parcel, answer, outcome)
            if not parcels.trouble:
                await pause(stop, backoff.wait_seconds(random.random()))  # noqa: S311 - jitter
                backoff = backoff.failed()

    async def _answer(self, parcels: Parcels, parcel: Parcel) -> Answered | None:
        """The answer to a record; None if there was none, so that it must be sent again.

        Records stay in doubt if there is none, also if the lane is cancelled meanwhile.
        """
        self.on_wire += 1
        known = [uid for uid in parcel.uids if not parcels.doubts.begin(uid)]
        try:
            answer = await self._sink.send(parcel, patience=self.breaker.patience)
        except NoAnswer as error:
            if error.late:
                self.breaker.late()
            self.breaker.trip(str(error), monotonic(), random.random())  # noqa: S311 - jitter
            if error.sent:
                parcels.tally.ambiguous += 1
            else:
                parcels.doubts.over(known)
            return None
        finally:
            self.on_wire -= 1
        if answer.resent:
            parcels.tally.ambiguous += 1
        else:
            parcels.doubts.over(known)
        return answer

    def _acknowledged(self, parcels: Parcels, parcel: Parcel, *, stored: bool) -> None:
        if self.breaker.succeeded():
            self.failing.hurry()
        self.sent += len(parcel.uids)
        if stored:
            parcels.tally.stored += len(parcel.uids)
        if self._tries:
            self._tries.pop((parcels.portion, parcel.uids[0]), None)
        parcels.acknowledged(parcel)
        self._noted_soon.append(parcels)
        if len(self._noted_soon) > self.slots // 2:  # as many as are under way at most
            self._later.soon()

    def _not_taken(self, parcels: Parcels, parcel: Parcel, answer: Answered, outcome: Outcome) -> None:
        """Decide what follows from an answer by which a record was not taken."""
        now, chance = monotonic(), random.random()  # noqa: S311 - jitter
        reason = f"the receiving server answers {answer.status}: {answer.text}".rstrip(": \n")
        if outcome == "refused":
            parcels.fail(reason, refused=True, uid=parcel.blamed)
        elif outcome == "pause":
            self.breaker.pause(reason, now, chance)
        elif answer.retry_after:
            self.breaker.wait(answer.retry_after * (1 + chance / 10), reason, now)
        elif answer.status != CONFLICT:
            self.breaker.failed(parcel.uids[0], reason, now, chance)
            if answer.status != TOO_MANY:  # which no record is to blame for
                self._count_try(parcels, parcel, reason)

    def _count_try(self, parcels: Parcels, parcel: Parcel, reason: str) -> None:
        """One more try failed. If others succeed meanwhile, the record is to blame; otherwise the server is."""
        uid = parcel.uids[0]
        tries, sent = self._tries.get((parcels.portion, uid), (0, self.sent))
        self._tries[parcels.portion, uid] = (tries + 1, sent)
        if tries + 1 >= self._sink.sending.tries and self.sent > sent:
            parcels.fail(f"{reason}, {tries + 1} times", refused=True, uid=parcel.blamed)
        elif (tries + 1) % TURNS == 0 and self._others_wait(parcels):
            parcels.fail(reason)

    def _others_wait(self, parcels: Parcels) -> bool:
        """Whether another frame has records to send."""
        others = (self._current, *(other for other, _ in self._ahead))
        return bool(self.waiting.frames) or any(other not in (None, parcels) for other in others)

    async def finish(self) -> None:
        """Prove the portions that are over, set those aside that cannot be pushed, and force UID files to disk."""
        self._write_down()
        for parcels in [parcels for parcels in self.open if parcels.over]:
            try:
                await self._finish(parcels)
            except OSError as error:
                self.block(error)
                return
            self.open.remove(parcels)
            self.more.set()
        for parcels in self.open:
            if parcels.uids.dirty:
                try:
                    await asyncio.to_thread(parcels.uids.force)
                except OSError as error:
                    self.block(error)

    async def _finish(self, parcels: Parcels) -> None:
        portion, frame = parcels.portion, parcels.portion.frame
        iso = self._space.grid.iso(frame)
        parcels.uids.save()
        if parcels.refused:
            await asyncio.to_thread(self._refused.add, portion, iso, parcels.trouble, parcels.uid)
            self._forget(portion)
            log.error("frame_quarantined", frame=iso, part=portion.part, reason=parcels.trouble, uid=parcels.uid)
        elif parcels.trouble:
            self.failing.failed(frame, parcels.trouble, monotonic(), random.random())  # noqa: S311 - jitter
            log.warning("push_failed", frame=iso, part=portion.part, reason=parcels.trouble)
        elif parcels.whole and not parcels.left:  # otherwise it was time to stop
            done = parcels.done()
            await asyncio.to_thread(self.proofs.add, portion, done)
            self._forget(portion)
            log.debug("frame_done", frame=iso, part=portion.part, records=done.count)
        parcels.close()
        if portion in self.proofs:
            parcels.remove()

    def _forget(self, portion: Portion) -> None:
        """A portion does not fail any more."""
        self.failing.over(portion.frame)
        self._tries = {key: tries for key, tries in self._tries.items() if key[0] != portion}

    def block(self, error: OSError) -> None:
        """Send nothing until the space can be written again."""
        if not self.blocked:
            log.error("space_unwritable", reason=error.strerror, effect="nothing is pushed until it can be written")
        self.blocked = f"{self._space.rss} cannot be written: {error.strerror}"

    def unblock(self) -> None:
        """Try to write what could not be written.

        Raises:
            OSError: it cannot be written now, either.
        """
        for parcels in self.open:
            parcels.uids.save()
        if self.blocked:
            probe(self._space.rss)
            log.info("space_writable", effect="records are pushed again")
            self.refresh()  # a portion may be among them that could not be opened
        self.blocked = ""
        self.noted.set()

    async def _idle(self) -> None:
        """Wait until there is something to send; others had to get their turn if a portion is open."""
        if self._current is not None:
            await asyncio.sleep(0)
            return
        self.more.clear()
        await pause(self.more, IDLE_SECONDS)

    def _closed_seconds(self) -> float:
        """How long nothing may be sent, as far as is known."""
        if self.blocked:
            return RETRY_SECONDS
        wait = self.breaker.until - monotonic() if self.breaker.state != "closed" else 0.0
        return min(IDLE_SECONDS, max(LEAST_SECONDS, wait))
