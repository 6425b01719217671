"""Which rows of a database were made by triggers beside those that SNK delivered, as flows tell each other.

`snk.core.origins` tells the idea. Where no table of a database has triggers this costs nothing.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager

from snk.core.origins import Origins
from snk.db.reader import Reader
from snk.db.shape import InsertTrigger
from snk.db.table import Rows

MOST_WAIT_SECONDS = 1.0


class Lineage:
    """Of one database: told by the flows that write there, asked by those that read there."""

    def __init__(self) -> None:
        self._origins = Origins()
        self._under_way: set[asyncio.Future[None]] = set()
        self._triggers: dict[str, tuple[InsertTrigger, ...]] = {}

    @asynccontextmanager
    async def writing(
        self, table: str, triggers: tuple[InsertTrigger, ...], generation: int
    ) -> AsyncIterator[Callable[[Iterable[int]], None]]:
        """Write rows of a generation inside the block, and say in which transactions they were made.

        Args:
            table: where to, by its full name.
            triggers: what that fires.
            generation: of all the rows.
        """
        if not triggers:
            yield lambda _: None
            return
        self._triggers[table] = triggers
        under_way = asyncio.get_running_loop().create_future()
        self._under_way.add(under_way)
        try:
            yield lambda made_in: self._origins.wrote(made_in, generation, time.monotonic())
        finally:
            self._under_way.discard(under_way)
            under_way.set_result(None)

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
        made_in = await reader.made_in(rows.ids, recent)
        return {uuid: self._origins.generation_in(transaction) for uuid, transaction in made_in.items()}

    def names(self, own: Collection[InsertTrigger]) -> str:
        """The triggers that may have made a row: those of its own table, or else all that are known."""
        triggers = own or [trigger for known in self._triggers.values() for trigger in known]
        return ", ".join(sorted({trigger.full_name for trigger in triggers}))
