"""One life of a flow: from the destination's mark to the first error.

A session holds in memory what it read and has not written yet. On any error it is dropped whole, and the next one
starts from the mark: that is the only recovery there is, so it is the one that is tested all the time.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import compress

import structlog

from snk.errors import MarkMoved
from snk.pair.core.ledger import Ledger
from snk.pair.core.origins import LOOP_GENERATION
from snk.pair.core.pace import BatchSize, Gather
from snk.pair.core.portion import Portion
from snk.pair.core.tail import Tail
from snk.pair.dedup.dedup_set import DedupSet
from snk.pair.sync.batch import Batch
from snk.pair.sync.late import Late
from snk.pair.sync.lineage import Lineage, Writing
from snk.pair.sync.link import Link
from snk.pair.sync.meter import LOOP_HINT, Meter
from snk.pair.sync.referred import Referred
from snk.pair.sync.turns import Turn
from snk.pair.table.rejects import LOOP, Refusal
from snk.pair.table.synced import Rows
from snk.pair.table.writer import NOTHING_ASIDE, Delivered, MarkState, Parents

BEAT_SECONDS = 0.5
DOZE_SECONDS = 0.45
UNCHANGED_SECONDS = 2.0
MOST_AGAIN = 100
MOST_NAMED = 1000
NAMED_SECONDS = 0.25  # of one beat: new rows wait meanwhile
MOST_RANGES = 10_000  # intervals of holes in one statement

Unread = Mapping[str, Refusal]
log = structlog.get_logger()


class Session:
    """Tails the source and writes into the destination, in steps that may be repeated at will.

    A step writes what it reads; where more is waiting, it reads the next batch while it writes the last one. Only one
    batch is ahead of the mark at any time.

    Attributes:
        size: how many rows to take at once.
        proven: the destination took a batch, or a beat went well: both servers do what is asked of them.
    """

    def __init__(
        self,
        link: Link,
        state: MarkState,
        *,
        held_by_destination: DedupSet,
        held_by_source: DedupSet,
        wanted: list[str],
        ledger: Ledger,
        meter: Meter,
        size: BatchSize,
        batch_bytes: int,
        referred: Referred,
        lineage: tuple[Lineage, Lineage],
    ) -> None:
        self.size = size
        self.proven = False
        self._link = link
        self._state = state
        self._held_by_destination = held_by_destination
        self._held_by_source = held_by_source
        self._wanted = wanted  # rows to be brought over by name
        self._late = Late(ledger)
        self._seen_unchanged = time.monotonic()
        self._meter = meter
        self._portion = Portion.of(size.rows, size.share_of(batch_bytes))
        self._batch_bytes = batch_bytes
        self._tail = Tail.resumed(state.high, state.holes)
        self._safe = state.safe
        self._unflushed: tuple[int, int] | None = None
        self._ahead: Batch | None = None
        self._found_nothing: float | None = None
        self._gather = Gather()
        self._beaten = time.monotonic()
        self._referred = referred
        self._read_lineage, self._written_lineage = lineage
        self._turn: Turn | None = None

    async def step(self, turn: Turn | None = None) -> bool:
        """Bring one batch over; where more is waiting, read that meanwhile.

        Args:
            turn: is given up where rows wait for others.

        Returns:
            Whether anything moved; if not, the caller may wait a little.
        """
        self._turn = turn
        batch, self._ahead = self._ahead or self._nothing() or await self._read(), None
        if batch.full:
            self._ahead = await self._read_while_writing(batch)
        else:
            await self._write(batch)
        if batch.full:
            self._take_more()
        self._meter.stepped()
        if self._ahead is None and self._referred.tries_again(time.monotonic()):
            await self._try_again(hopeful=True)
        if time.monotonic() - self._beaten > BEAT_SECONDS:
            await self._beat()
        elif self._late.more and not batch.moved:
            await self._bring_late()
        return batch.moved or self._late.more

    @property
    def behind(self) -> bool:
        """Whether more rows are known to be waiting."""
        return self._ahead is not None

    async def gather(self) -> None:
        """Under load, wait a little, so that the next read finds more."""
        if not self.behind and self._gather.wait_ms:
            await asyncio.sleep(self._gather.wait_ms / 1000)

    async def doze(self, every_seconds: float) -> bool:
        """Wait in the source's server until there is something to read, for less than a beat.

        Returns:
            False, and did not wait, if it has to stay awake: for a batch in hand, for holes that may fill or have
            filled late, for rows to which others refer, or because the server cannot do it.
        """
        if self.behind or self._late.more or self._tail.fenced or self._referred.attentive(time.monotonic()):
            return False
        until = time.monotonic() + DOZE_SECONDS
        with self._meter.watched_until(until):
            found = await self._link.source.reader.wait(self._tail.high, DOZE_SECONDS, every_seconds)
        if found is False and self._safe == self._tail.high:
            self._found_nothing = until  # it ends with a look
        return found is not None

    async def finish(self) -> None:
        """Write the batch in hand, and the mark where it has moved without rows."""
        batch, self._ahead = self._ahead, None
        if batch:
            await self._write(batch)
        await self._save_mark()

    def _nothing(self) -> Batch | None:
        """What a read would bring after a doze that nobody ended: nothing."""
        looked, self._found_nothing = self._found_nothing, None
        if looked is None:
            return None
        return Batch(Rows(), self._tail, self._safe, looked, time.monotonic(), moved=False, full=False)

    def _take_more(self) -> None:
        """A full batch went well; after some of them there may be more in one."""
        before, self.size = self.size, self.size.went_well()
        if self.size.rows != before.rows:
            self._portion = self._portion.bounded(self.size.rows, self.size.share_of(self._batch_bytes))

    async def _read_while_writing(self, batch: Batch) -> Batch:
        # No TaskGroup: before Python 3.11.4 a failed one leaves its parent marked as cancelled, and the next
        # asyncio.timeout() of that task would end the flow silently.
        writing = asyncio.create_task(self._write(batch))
        try:
            ahead = await self._read()
        except BaseException:
            writing.cancel()
            (ended,) = await asyncio.gather(writing, return_exceptions=True)
            if isinstance(ended, Exception):  # it is the reading that is told of
                log.debug("batch_not_written", **self._meter.names, error=str(ended))
            raise
        await writing
        return ahead

    async def _read(self) -> Batch:
        """Read above the mark; if ids are missing, look who could bring them; re-read what nobody holds any more.

        The order of these three statements is what makes it lossless: see `snk.pair.core.tail`.
        """
        asked, landed = time.monotonic(), self._held_by_destination.landed
        source = self._link.source.reader
        read = await source.above(self._tail.high, self._portion)
        rows, unread, full, self._portion = read.rows, read.unread, read.full, read.portion
        tail = self._tail.read(read.ids)
        self._gather = self._gather.after(len(rows))
        if tail.fenced:
            tail = tail.look(await source.writers())
        if due := tail.due:
            part = due.first(MOST_RANGES, self._portion.rows)
            again = await source.within(part, self._portion)
            tail = tail.reread(again.ids, up_to=again.reached if again.full else part.pairs[-1][1])
            rows, full, self._portion = rows + again.rows, full or bool(tail.due), again.portion
            unread = {**unread, **again.unread}
            self._late.finished(tail.finished)
        self._note_durable(read.inserted, read.flushed, tail.high)
        self._tail = tail
        moved = full or bool(rows or unread)
        kept, unread = self._without_echoes(rows, unread)
        if not full and not tail.fenced:
            self._held_by_destination.settle(landed)
        made = await self._read_lineage.generations(source, kept)
        read_at = time.monotonic()
        visible = None if full else asked
        return Batch(kept, tail, self._safe, visible, read_at, moved=moved, full=full, unread=unread, made=made)

    def _note_durable(self, inserted: int, flushed: int, high: int) -> None:
        """Move ``safe`` up once the WAL of an earlier read has reached the disk."""
        if self._unflushed and flushed >= self._unflushed[0]:
            self._safe = max(self._safe, self._unflushed[1])
            self._unflushed = None
        if self._unflushed is None and high > self._safe:
            self._unflushed = (inserted, high)

    def _without_echoes(self, rows: Rows, unread: Unread) -> tuple[Rows, Unread]:
        if unread:
            meant = self._held_by_destination.take(unread)
            unread = dict(compress(unread.items(), meant))
        if not rows:
            return rows, unread
        keep = self._held_by_destination.take(rows.uuids)
        kept = rows if all(keep) else rows.where(keep)
        self._meter.echoed(len(rows) - len(kept))
        return kept, unread

    async def _write(self, batch: Batch) -> None:
        """Deliver a batch with its mark; one without rows waits for the next beat to save how far it went.

        What triggers made goes first, by generation and with the mark as it stands; what makes a loop does not.
        """
        if batch.empty:
            self._reached(batch, 0)
            return
        inserted = 0
        for generation in sorted(set(batch.made.values())):
            if generation < LOOP_GENERATION:
                rows = batch.of_generation(generation.__eq__)
                inserted += (await self._deliver(replace(batch, rows=rows, again=()), self._state, generation)).inserted
        rows = batch.of_generation(lambda of: not of)
        aside = {**self._loop(batch.of_generation(lambda of: of >= LOOP_GENERATION)), **batch.unread}
        delivered = await self._deliver(replace(batch, rows=rows), self._mark(batch), 0, aside)
        self._reached(batch, inserted + delivered.inserted)
        log.debug("batch_written", rows=len(batch.rows), high=batch.tail.high)

    async def _deliver(
        self, batch: Batch, mark: MarkState, generation: int, aside: Mapping[str, Refusal] = NOTHING_ASIDE
    ) -> Delivered:
        """Deliver rows of one generation with a mark. The note precedes the write, or the echo might overtake it."""
        destination = self._link.destination
        number = self._held_by_source.note(batch.rows.uuids, self._link.source.facts.boot)
        absent: Sequence[str] = batch.rows.uuids
        lineage = self._written_lineage.writing(destination.writer.table_name, destination.triggers, generation)
        try:
            with lineage as writing:
                parents = None if batch.again else self._parents_of(batch, writing)
                delivered, self._state = await destination.writer.deliver(batch.rows, mark, batch.again, parents, aside)
                writing.wrote(delivered.made_in)
            absent = delivered.absent
        finally:
            self._held_by_source.land(number, absent)
        self.proven = True
        await self._tell(delivered, batch.again)
        return delivered

    async def _tell(self, delivered: Delivered, again: Sequence[str]) -> None:
        """Count what became of rows, and say what a person may want to know."""
        self._meter.wrote(delivered)
        if delivered.refused or again:
            await self._count_aside()
        if recorded := delivered.conflicts:
            log.warning("conflicts_recorded", **self._meter.names, rows=len(recorded), first=recorded[0])
            self._meter.note_rewriting(self._link.destination.triggers)
        if new := [uuid for uuid in delivered.refused if uuid not in again]:
            log.warning("rows_rejected", **self._meter.names, rows=len(new), first=new[0])

    async def _count_aside(self) -> None:
        aside = await self._link.destination.writer.rejected()
        self._meter.rejected = aside.rows
        self._referred.left(aside.hopeful, time.monotonic())

    def _loop(self, rows: Rows) -> Mapping[str, Refusal]:
        """Why rows are set aside that triggers made of rows which triggers made, and so on."""
        if not rows:
            return NOTHING_ASIDE
        triggers = self._read_lineage.names(self._link.source.triggers)
        self._meter.note_loop(triggers)
        words = f"a loop of triggers made this row of one that SNK delivered: {triggers}. {LOOP_HINT}"
        return dict.fromkeys(rows.uuids, Refusal(LOOP, words))

    def _reached(self, batch: Batch, rows: int) -> None:
        self._meter.reached(batch.tail, self._state, batch.asked)
        self._referred.arrived(batch.asked, rows)

    def _parents_of(self, batch: Batch, writing: Writing) -> Parents:
        """What waits for the rows to which those of a batch refer, while others have their turn."""
        patience = self._referred.patience(batch.read_at)

        async def parents() -> bool:
            if self._turn:
                self._turn.give_up()
            with writing.paused(), self._meter.awaiting(self._referred.table.parents):
                return await patience()

        return parents

    def _mark(self, batch: Batch) -> MarkState:
        return replace(self._state, high=batch.tail.high, safe=batch.safe, holes=batch.tail.holes)

    async def _beat(self) -> None:
        """Twice a second on a quiet flow: save the mark or see that it is still ours, and look at the source."""
        self._beaten = time.monotonic()
        await self._save_mark()
        await self._see_unchanged()
        if self._ahead is None:
            await self._bring_named()
            await self._bring_late()
        reader = self._link.source.reader
        _, greatest = await reader.bounds()
        high = self._tail.high
        if await reader.went_back(high, greatest):
            raise MarkMoved(f"{self._link.table}: the greatest id is {greatest}, below the mark {high}")
        writers = self._tail.writers
        self._meter.looked(
            0 if greatest is None else greatest - high, await reader.blockers(writers) if writers else ()
        )
        self.proven = True

    async def _see_unchanged(self) -> None:
        """See now and then that both tables are as they were; nothing that is missed until then gets lost."""
        if time.monotonic() - self._seen_unchanged > UNCHANGED_SECONDS:
            self._seen_unchanged = time.monotonic()
            for end in (self._link.source, self._link.destination):
                await end.reader.see_unchanged()
            if self._meter.conflicts:  # a person may have settled some
                self._meter.conflicts = await self._link.destination.writer.conflicts()

    async def _bring_named(self) -> None:
        """Bring rows over by their names: those that were refused and are due, and those that tailing cannot see."""
        if self._meter.rejected:
            await self._try_again()
        until = time.monotonic() + NAMED_SECONDS
        portion = self._portion_of(MOST_NAMED)
        while self._wanted:
            found = await self._link.source.reader.named(self._wanted[:MOST_NAMED], portion)
            await self._write_besides(found.rows, found.unread)
            del self._wanted[: found.asked]
            portion = found.portion
            if time.monotonic() > until:
                return

    async def _try_again(self, *, hopeful: bool = False) -> None:
        """Try rows again that were refused and are due, or may be taken now that others have arrived."""
        portion, seen = self._portion_of(MOST_AGAIN), self._referred.arrivals
        if due := await self._link.destination.writer.due(portion.rows, hopeful=hopeful):
            found = await self._link.source.reader.named(due, portion)
            await self._write_besides(found.rows, found.unread, due[: found.asked])
        elif hopeful:  # a person took them away
            await self._count_aside()
        if hopeful:
            self._referred.tried(seen, time.monotonic())

    def _portion_of(self, most_rows: int) -> Portion:
        """Rows that are asked for by their names: so many at most, and no more bytes than in any other batch."""
        return Portion.of(min(most_rows, self.size.rows), self.size.share_of(self._batch_bytes))

    async def _bring_late(self) -> None:
        """Bring rows that have come late, as long as there are some, for some time between two reads."""
        until, brought, portion = time.monotonic() + NAMED_SECONDS, 0, self._portion
        while self._late.due:
            found = await self._late.look(self._link.source.reader, portion)
            rows, unread = self._without_echoes(found.rows, found.unread)
            await self._write_besides(rows, unread)
            brought, portion = brought + len(rows), found.portion
            if time.monotonic() > until:
                break
        if brought:
            log.warning("rows_came_late", **self._meter.names, rows=brought)
            self._meter.late += brought
        await self._late.keep(self._link.destination.writer)

    async def _write_besides(self, rows: Rows, unread: Unread, again: Sequence[str] = ()) -> None:
        """Deliver rows that were not read above the mark, so it does not move for them."""
        made = {} if again else await self._read_lineage.generations(self._link.source.reader, rows)
        batch = Batch(rows, self._tail, self._safe, None, time.monotonic(), moved=False, full=False)
        await self._write(replace(batch, again=again, unread=unread, made=made))

    async def _save_mark(self) -> None:
        destination = self._link.destination.writer
        if self._ahead is None:
            wanted = replace(self._state, high=self._tail.high, safe=self._safe, holes=self._tail.holes)
            if wanted != self._state:
                self._state = await destination.move(wanted)
            elif await destination.version() != self._state.version:
                raise MarkMoved(f"{self._link.table}: the mark is not the one last written here")
