"""Looks after idle flows: whether their tables and marks in one server are as they were, in one statement for all.

A flow that is idle does nothing at all. What it would check twice a second is checked here for all flows at once: that
nobody else has moved its mark, that the definition of its table is the same, that ids are not drawn anew, and whether
rows that are set aside are due. Whatever is found, the flow is woken and finds out for itself.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.lender import Lender, Lent
from snk.errors import SnkError
from snk.pair.catalog import lookup
from snk.pair.catalog.shape import Shape
from snk.pair.sync.watch import Watch
from snk.pair.table import left, marks
from snk.pair.table.rejects import Aside
from snk.pause import pause

ROUND_SECONDS = 0.5
TABLES_SECONDS = 2.0
TABLES_REST = 150  # pause as a multiple of a look at the tables, which costs a third of a millisecond for each
OWN_PER_SECOND = 10  # all idle flows together
READY_SECONDS = 2.0
READY_PER_SECOND = 20

log = structlog.get_logger()


class Kept(Protocol):
    """What a flow keeps in its destination, as it knows it."""

    @property
    def key(self) -> str:
        """The name of the table."""

    @property
    def version(self) -> int:
        """The version of the mark."""

    @property
    def aside(self) -> Aside:
        """How many rows are set aside."""

    @property
    def conflicts(self) -> int:
        """How many conflicts are recorded."""


@dataclass(eq=False, frozen=True, slots=True)
class Resting:
    """A table of this server, of which a flow is idle.

    Attributes:
        wake: wakes the flow, and has it look at everything.
        high: the greatest id that was read, of a flow that reads here.
        kept: what the flow keeps, if it writes here.
    """

    shape: Shape
    wake: Callable[[], None]
    high: Callable[[], int] | None = None
    kept: Kept | None = None


class Rounds:
    """The rounds through one server."""

    def __init__(self, lender: Lender, watch: Watch) -> None:
        self._lender = lender
        self._watch = watch
        self._resting: set[Resting] = set()
        self._tables_at = self._turn_at = 0.0
        self._seen = self._tables_seen = -1

    @property
    def own_seconds(self) -> float:
        """How often one of so many idle flows may do something of its own, if it has to."""
        return max(TABLES_SECONDS, len(self._resting) / OWN_PER_SECOND)

    def turn_seconds(self) -> float:
        """How long a flow waits before it gets ready, so that hundreds do not do it at once."""
        now = time.monotonic()
        self._turn_at = max(self._turn_at + 1 / READY_PER_SECOND, now + READY_SECONDS)
        return self._turn_at - now

    @contextmanager
    def looked_after(self, resting: Resting) -> Iterator[None]:
        """Inside the block, the flow is woken when something has changed."""
        self._resting.add(resting)
        self._tables_seen = -1
        try:
            yield
        finally:
            self._resting.discard(resting)

    async def run(self, stop: asyncio.Event) -> None:
        """Make rounds until ``stop`` is set."""
        while not stop.is_set():
            try:
                await self._round()
            except SnkError as error:  # without a server, the watch wakes all flows; a locked table is looked at again
                log.debug("round_interrupted", side=self._lender.server.label, error=str(error))
            await pause(stop, ROUND_SECONDS)

    async def _round(self) -> None:
        changes, now = self._watch.changes, time.monotonic()
        kept = [each for each in self._resting if each.kept]
        troubled = [each for each in kept if each.kept and (each.kept.aside.rows or each.kept.conflicts)]
        tables_due = now >= self._tables_at and changes != self._tables_seen
        if not self._resting or not (changes != self._seen or troubled or tables_due):
            return
        access = await Lent.of(self._lender)
        if changes != self._seen:
            async with access.using() as connection:
                await _see_marks(connection, kept)
            self._seen = changes
        if troubled:
            async with access.using() as connection:
                await _see_left(connection, troubled)
        if tables_due:
            await self._see_tables(access, changes)

    async def _see_tables(self, access: Lent, changes: int) -> None:
        """Wake the flows whose tables have changed, and those whose ids may be drawn anew."""
        began = time.monotonic()
        self._tables_seen, resting = changes, list(self._resting)
        try:
            async with access.using() as connection:
                await _see_definitions(connection, resting)
                await _see_left(connection, [each for each in resting if each.kept])
            async with access.briefly() as connection:
                await _see_sequences(connection, [each for each in resting if each.high])
        except SnkError:
            self._tables_seen = -1
            raise
        finally:
            self._tables_at = began + max(TABLES_SECONDS, TABLES_REST * (time.monotonic() - began))


async def _see_marks(connection: AsyncConnection, resting: Sequence[Resting]) -> None:
    """Wake the flows whose marks were moved by others."""
    expected = {each: each.kept.version for each in resting if each.kept}
    found = await marks.versions(connection, [each.kept.key for each in resting if each.kept])
    for each, version in expected.items():
        if each.kept and each.kept.version == version and found.get(each.kept.key) != version:
            each.wake()


async def _see_left(connection: AsyncConnection, resting: Sequence[Resting]) -> None:
    """Wake the flows that have rows to try again, and those of which a person has resolved or removed some."""
    names = [each.kept.key for each in resting if each.kept]
    aside, conflicts = await left.set_aside(connection, names), await left.in_conflict(connection, names)
    due = await left.due(connection, names)
    for each in resting:
        if kept := each.kept:
            now = aside[kept.key].rows, conflicts[kept.key]
            if kept.key in due or now != (kept.aside.rows, kept.conflicts):
                each.wake()


async def _see_definitions(connection: AsyncConnection, resting: Sequence[Resting]) -> None:
    shapes = {each.shape.oid: each.shape for each in resting}
    found = dict(zip(shapes, await lookup.definition_fingerprints(connection, [*shapes.values()]), strict=True))
    for each in resting:
        if found[each.shape.oid] != each.shape.definition_fingerprint:
            each.wake()


async def _see_sequences(connection: AsyncConnection, reading: Sequence[Resting]) -> None:
    shapes = (each.shape for each in reading)
    counting = {shape.oid: sequence.oid for shape in shapes if (sequence := shape.id_column.sequence)}
    drawn = dict(zip(counting, await lookup.drawn(connection, [*counting.values()]), strict=True))
    for each in reading:
        if each.high and _may_go_back(each.high(), each.shape, drawn.get(each.shape.oid)):
            each.wake()


def _may_go_back(high: int, shape: Shape, drawn: int | None) -> bool:
    return high > shape.floor and (drawn is None or drawn < high)
