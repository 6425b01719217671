"""Tracks which rows of a database were created by triggers that fired on rows that SNK delivered.

The flows that write into a database report to the flows that read it. `snk.pair.core.origins` explains the idea. In a
database where no table has triggers, this costs nothing.
"""

import asyncio
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

from snk.pair.catalog.shape import InsertTrigger
from snk.pair.core.origins import Origins
from snk.pair.table.reader import Reader
from snk.pair.table.synced import Rows

MOST_WAIT_SECONDS = 1.0


class Lineage:
    """The lineage of one database: flows that write there report to it, flows that read there query it."""

    def __init__(self) -> None:
        self._boot = ""
        self._origins = Origins()
        self._under_way: set[asyncio.Future[None]] = set()
        self._triggers: dict[str, tuple[InsertTrigger, ...]] = {}

    def anchor(self, boot: str) -> None:
        """Forget writes of another boot: a crash may have undone them, and their transaction ids are reused."""
        if boot != self._boot:
            self._boot, self._origins = boot, Origins()

    @contextmanager
    def writing(self, table: str, triggers: tuple[InsertTrigger, ...], generation: int) -> Iterator["Writing"]:
        """Write rows of one generation inside the block, and report in which transactions they were written.

        Args:
            table: the full name of the destination table.
            triggers: the triggers that the insert fires.
            generation: the generation of all the rows.
        """
        if triggers:
            self._triggers[table] = triggers
        else:
            self._triggers.pop(table, None)
        writing = Writing(self._origins, self._under_way if triggers else set(), generation)
        try:
            yield writing
        finally:
            writing.end()

    async def generations(self, reader: Reader, rows: Rows) -> Mapping[str, int]:
        """Return the generation of each row that a trigger created, by uuid.

        Such a row can be read before its writer learns that the transaction has committed, so this waits for deliveries
        in progress.
        """
        if not rows or not self._triggers:
            return {}
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=MOST_WAIT_SECONDS)
        recent = self._origins.recent(time.monotonic())
        if not recent:
            return {}
        made_in = await reader.made_in(rows.ids, list(recent))
        return {uuid: recent[transaction] + 1 for uuid, transaction in made_in.items()}

    def names(self, own: Collection[InsertTrigger]) -> str:
        """Name the triggers that may have created a row: those of its own table, or all known ones if it has none."""
        triggers = own or [trigger for known in self._triggers.values() for trigger in known]
        return ", ".join(sorted({trigger.full_name for trigger in triggers}))


class Writing:
    """One delivery, from before its first statement until its writer knows the result."""

    def __init__(self, origins: Origins, under_way: set[asyncio.Future[None]], generation: int) -> None:
        self._origins = origins
        self._all = under_way
        self._generation = generation
        self._under_way = self._begin()

    def _begin(self) -> asyncio.Future[None]:
        """Mark that from now on a transaction may commit without its writer knowing yet."""
        under_way: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._all.add(under_way)
        return under_way

    def end(self) -> None:
        """Mark that no such transaction is open any more."""
        self._all.discard(self._under_way)
        self._under_way.set_result(None)

    def wrote(self, transactions: Iterable[int]) -> None:
        """Report in which transactions the rows were written."""
        self._origins.wrote(transactions, self._generation, time.monotonic())

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside the block no transaction is open, so no flow needs to wait for this delivery."""
        self.end()
        try:
            yield
        finally:
            self._under_way = self._begin()
