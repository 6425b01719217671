"""Decides where a session starts: at the destination's mark, or before it if the source may have lost rows."""

import asyncio
import time
from dataclasses import dataclass, replace

import structlog

from snk.db.catalog import timeline
from snk.pair.core.tail import Tail
from snk.pair.sync.facts import Bounds
from snk.pair.sync.link import Link
from snk.pair.sync.parts import FlowParts
from snk.pair.table.left import Left
from snk.pair.table.marks import MarkState

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Start:
    """What a session starts with.

    Attributes:
        mark: the mark in the destination, claimed for this daemon's lease.
        left: what else earlier sessions left in the destination.
        quiet: there was nothing to read above the mark, and it has no holes.
    """

    mark: MarkState
    left: Left = Left()  # noqa: RUF009 - immutable
    quiet: bool = False


class Starter:
    """Finds where a flow continues.

    If the mark may promise more than is true, it records that a sweep is owed, and sets ``sweep_due``.
    """

    def __init__(self, link: Link, parts: FlowParts, sweep_due: asyncio.Event) -> None:
        self._link = link
        self._parts = parts
        self._there = parts.around.destination.facts
        self._sweep_due = sweep_due
        self._log = log.bind(**parts.route.labels)

    async def start(self, epoch: int) -> Start:
        """Load what earlier sessions left.

        Raises:
            LeaseLost: a later lease has claimed the mark.
        """
        await self._see_storage()
        source, destination, around = self._link.source, self._link.destination, self._parts.around
        claimed = await self._there.claimed(destination.access, destination.writer.table_name, epoch)
        asked = time.monotonic()
        # Ask for the bounds only now: until the mark was claimed, the previous daemon might have moved it past them.
        bounds = await around.source.facts.bounds(source.access, source.reader.ids)
        mark = await self._mark(claimed, bounds, epoch)
        await self._anchor_echoes()
        around.source.lineage.anchor(source.facts.boot)
        around.destination.lineage.anchor(destination.facts.boot)
        left = await self._there.left(destination.access, destination.writer.table_name)
        self._parts.meter.rejected, self._parts.meter.conflicts = left.aside.rows, left.conflicts
        quiet = not mark.holes and (bounds[1] is None or bounds[1] <= mark.high)
        if quiet:
            self._parts.progress.caught_up(asked)
            self._parts.meter.reached(Tail.resumed(mark.high, mark.holes), mark)
        return Start(mark, left, quiet=quiet)

    async def _mark(self, mark: MarkState | None, bounds: Bounds, epoch: int) -> MarkState:
        """Return where to continue: at the destination's mark, or before it if the source may have lost rows."""
        link, writer = self._link, self._link.destination.writer
        lowest, greatest = bounds
        floor, facts = link.source.reader.floor, link.source.facts
        bottom = floor if lowest is None else min(floor, lowest - 1)
        fresh = MarkState(high=bottom, safe=bottom, source=facts.identity, boot=facts.boot, epoch=epoch)
        if mark is None:
            await self._there.create(link.destination.access, writer.table_name, fresh)
            return fresh
        if mark.source != facts.identity:
            self._log.warning("source_replaced", effect="reading every row again", was=mark.source, now=facts.identity)
            await self._owe_sweep("the source is another database than the one the mark belongs to")
            return await writer.move(replace(fresh, version=mark.version))
        if mark.boot != facts.boot:
            mark = await self._back_to_safe(mark, facts.boot)
        if await link.source.reader.went_back(mark.high, greatest):
            self._log.warning("source_went_back", effect="reading every row again", high=mark.high, greatest=greatest)
            await self._owe_sweep("the greatest id of the source was below the mark")
            return await writer.move(replace(fresh, version=mark.version))
        return mark

    async def _back_to_safe(self, mark: MarkState, boot: str) -> MarkState:
        """Return to ``safe``: a restarted source may have lost what was not durable, after a fail-over even more."""
        self._log.info("source_restarted", effect="rereading what was not durable", high=mark.high, safe=mark.safe)
        if timeline(mark.boot) != timeline(boot):
            # The new primary may lack rows that the old one had on disk, so even ``safe`` may be too far.
            self._log.warning("source_failed_over", effect="comparing the whole table", high=mark.high)
            await self._owe_sweep("the source failed over, or was restored from a backup")
        back = replace(mark, high=mark.safe, holes=mark.holes.up_to(mark.safe), boot=boot)
        # Save the new boot at once, even if no rows follow: otherwise every session would see a new boot and owe a
        # sweep again.
        return await self._link.destination.writer.move(back)

    async def _see_storage(self) -> None:
        """Owe a sweep if the table was truncated, rewritten or recreated: it may lack rows that the mark counts.

        Each flow checks its destination; the mark that refers to its source belongs to the opposite flow.
        """
        destination = self._link.destination
        if await self._there.rewritten(destination.access, destination.check.shape):
            self._log.warning("table_rewritten", effect="comparing the whole table", side=destination.server.label)
            self._sweep_due.set()

    async def _owe_sweep(self, reason: str) -> None:
        """Request a comparison of the whole table, by this daemon or a later one. Call this before the mark moves."""
        await self._link.destination.sweeps.owe(reason)
        self._sweep_due.set()

    async def _anchor_echoes(self) -> None:
        """Drop dedup entries of an earlier boot of the destination, then load the entries that Redis still has."""
        echoes, destination = self._parts.echoes, self._link.destination
        held = echoes.held_by_destination
        held.anchor(destination.facts.boot)
        if held.restored:
            return
        held.restored = True
        if found := await echoes.store.restore(echoes.name, destination.writer.held):
            self._log.info("echoes_restored", entries=found)
