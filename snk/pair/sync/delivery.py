"""What one session writes to its destination."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from snk.pair.core.origins import LOOP_GENERATION
from snk.pair.core.tail import Tail
from snk.pair.sync.batch import Batch
from snk.pair.sync.lineage import Writing
from snk.pair.sync.link import Link
from snk.pair.sync.meter import LOOP_HINT
from snk.pair.sync.parts import FlowParts
from snk.pair.sync.referred import Referred
from snk.pair.sync.start import Start
from snk.pair.sync.turns import NO_TURN
from snk.pair.table.marks import MarkState
from snk.pair.table.rejects import LOOP, Refusal
from snk.pair.table.synced import Rows
from snk.pair.table.writer import NOTHING_ASIDE, Delivered, Parents

log = structlog.get_logger()


class Delivery:
    """Writes batches, each with its mark, and records the outcome.

    Attributes:
        proven: the destination accepted a batch.
        aside: how many rows are set aside in the destination.
        conflicts: how many conflicts are recorded there.
        turn: given up while rows wait for others.
    """

    def __init__(self, link: Link, parts: FlowParts, start: Start, referred: Referred) -> None:
        self.proven = False
        self.aside = start.left.aside
        self.conflicts = start.left.conflicts
        self.turn = NO_TURN
        self._link = link
        self._parts = parts
        self._mark = start.mark
        self._referred = referred

    async def write(self, batch: Batch) -> None:
        """Deliver a batch with its mark; a batch without rows leaves the mark for the next beat to save.

        Rows made by triggers go first, by generation and with the mark unchanged; rows of a trigger loop are set aside.
        """
        self._parts.meter.echoed(batch.echoes)
        if batch.empty:
            self._reached(batch, 0)
            return
        inserted = 0
        for generation in sorted(set(batch.made.values())):
            if generation < LOOP_GENERATION:
                rows = batch.of_generation(generation.__eq__)
                inserted += (await self._deliver(replace(batch, rows=rows, again=()), self._mark, generation)).inserted
        rows = batch.of_generation(lambda of: not of)
        aside = {**self._loop(batch.of_generation(lambda of: of >= LOOP_GENERATION)), **batch.unread}
        delivered = await self._deliver(replace(batch, rows=rows), self._after(batch), 0, aside)
        self._reached(batch, inserted + delivered.inserted)
        log.debug("batch_written", rows=len(batch.rows), high=batch.tail.high)

    async def save(self, tail: Tail, safe: int) -> None:
        """Save the mark if it moved without rows; otherwise check that it is still the one last written.

        Raises:
            MarkMoved: it is not.
        """
        writer = self._link.destination.writer
        wanted = replace(self._mark, high=tail.high, safe=safe, holes=tail.holes)
        if wanted != self._mark:
            self._mark = await writer.move(wanted)
        else:
            await writer.see_unmoved(self._mark)

    def saved(self, tail: Tail, safe: int) -> bool:
        """Whether the mark says how far the source was read."""
        return replace(self._mark, high=tail.high, safe=safe, holes=tail.holes) == self._mark

    @property
    def key(self) -> str:
        """The name of the table in the destination."""
        return self._link.destination.writer.table_name

    @property
    def version(self) -> int:
        """The version of the mark."""
        return self._mark.version

    async def count_aside(self) -> None:
        """Count the rows that are set aside: a person may have removed some."""
        self.aside = await self._link.destination.writer.rejected()
        self._parts.meter.rejected = self.aside.rows
        self._referred.left(self.aside.hopeful, time.monotonic())

    async def count_conflicts(self) -> None:
        """Count the conflicts that are recorded: a person may have resolved some."""
        self.conflicts = self._parts.meter.conflicts = await self._link.destination.writer.conflicts()

    async def _deliver(
        self, batch: Batch, mark: MarkState, generation: int, aside: Mapping[str, Refusal] = NOTHING_ASIDE
    ) -> Delivered:
        """Deliver rows of one generation with a mark. The note precedes the write, or the echo might overtake it."""
        held, destination = self._parts.echoes.held_by_source, self._link.destination
        number = held.note(batch.rows.uuids, self._link.source.facts.boot)
        absent: Sequence[str] = batch.rows.uuids
        lineage = self._parts.around.destination.lineage
        try:
            with lineage.writing(destination.writer.table_name, destination.triggers, generation) as writing:
                parents = None if batch.again else self._parents_of(batch, writing)
                delivered, self._mark = await destination.writer.deliver(batch.rows, mark, batch.again, parents, aside)
                writing.wrote(delivered.made_in)
            absent = delivered.absent
        finally:
            held.land(number, absent)
        self.proven = True
        await self._tell(delivered, batch.again)
        return delivered

    async def _tell(self, delivered: Delivered, again: Sequence[str]) -> None:
        """Count the outcome of rows, and log what a person may need to know."""
        meter, labels = self._parts.meter, self._parts.route.labels
        meter.wrote(delivered)
        if delivered.refused or again:
            await self.count_aside()
        if recorded := delivered.conflicts:
            self.conflicts += len(recorded)
            log.warning("conflicts_recorded", **labels, rows=len(recorded), first=recorded[0])
            meter.note_rewriting(self._link.destination.triggers)
        if new := [uuid for uuid in delivered.refused if uuid not in again]:
            log.warning("rows_rejected", **labels, rows=len(new), first=new[0])

    def _loop(self, rows: Rows) -> Mapping[str, Refusal]:
        """Why rows of a trigger loop are set aside: triggers made them from rows that triggers made, and so on."""
        if not rows:
            return NOTHING_ASIDE
        triggers = self._parts.around.source.lineage.names(self._link.source.triggers)
        self._parts.meter.note_loop(triggers)
        words = f"a loop of triggers inserted this row for one that SNK delivered: {triggers}. {LOOP_HINT}"
        return dict.fromkeys(rows.uuids, Refusal(LOOP, words))

    def _reached(self, batch: Batch, rows: int) -> None:
        self._parts.meter.reached(batch.tail, self._mark)
        if batch.asked is not None:
            self._parts.progress.caught_up(batch.asked)
        self._referred.arrived(batch.asked, rows)

    def _parents_of(self, batch: Batch, writing: Writing) -> Parents:
        """A callable that waits for the rows that a batch refers to, while other flows take their turns."""
        patience = self._referred.patience(batch.read_at)

        async def parents() -> bool:
            self.turn.give_up()
            with writing.paused(), self._parts.progress.awaiting(self._referred.table.parents):
                return await patience()

        return parents

    def _after(self, batch: Batch) -> MarkState:
        """Return the mark that is true once a batch is delivered."""
        return replace(self._mark, high=batch.tail.high, safe=batch.safe, holes=batch.tail.holes)
