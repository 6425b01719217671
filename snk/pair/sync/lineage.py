"""Which rows of a database were made by triggers beside those that SNK delivered, as flows tell each other.

`snk.pair.core.origins` tells the idea. Where no table of a database has triggers this costs nothing.
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
    """Of one database: told by the flows that write there, asked by those that read there."""

    def __init__(self) -> None:
        self._boot = ""
        self._origins = Origins()
        self._under_way: set[asyncio.Future[None]] = set()
        self._triggers: dict[str, tuple[InsertTrigger, ...]] = {}

    def anchor(self, boot: str) -> None:
        """Forget what was written in another boot: a crash may have taken it back, and its numbers are given again."""
        if boot != self._boot:
            self._boot, self._origins = boot, Origins()

    @contextmanager
    def writing(self, table: str, triggers: tuple[InsertTrigger, ...], generation: int) -> Iterator["Writing"]:
        """Write rows of a generation inside the block, and say in which transactions they were made.

        Args:
            table: where to, by its full name.
            triggers: what that fires.
            generation: of all the rows.
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
        """The generation of each row that triggers made, by uuid.

        What a trigger makes can be read before its writer hears that the transaction is committed, so those that are
        under way are waited for.
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
        """The triggers that may have made a row: those of its own table, or else all that are known."""
        triggers = own or [trigger for known in self._triggers.values() for trigger in known]
        return ", ".join(sorted({trigger.full_name for trigger in triggers}))


class Writing:
    """One delivery, from before its first statement until its writer has heard what became of it."""

    def __init__(self, origins: Origins, under_way: set[asyncio.Future[None]], generation: int) -> None:
        self._origins = origins
        self._all = under_way
        self._generation = generation
        self._under_way = self._begin()

    def _begin(self) -> asyncio.Future[None]:
        """From now on a transaction may be committed of which nobody here has heard."""
        under_way: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._all.add(under_way)
        return under_way

    def end(self) -> None:
        """There is no such transaction any more."""
        self._all.discard(self._under_way)
        self._under_way.set_result(None)

    def wrote(self, transactions: Iterable[int]) -> None:
        """Say in which transactions the rows were made."""
        self._origins.wrote(transactions, self._generation, time.monotonic())

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside the block no transaction is open, so nobody is to wait for this delivery."""
        self.end()
        try:
            yield
        finally:
            self._under_way = self._begin()
