"""Whether both sides of a table hold the same rows, and which they are that differ.

The whole table is digested on both sides at once. Where the digests agree, that is all; otherwise the rows that differ
are searched for.
"""

import time
from dataclasses import dataclass, replace

from snk.db.server import Server
from snk.pair.verify.digest import TableSide
from snk.pair.verify.search import Progress, Search, both
from snk.pair.verify.sides import sides_of


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows on each side when the comparison began."""

    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found.

    Attributes:
        only_in_first: uuids of rows that second lacks; sorted, as are the others.
        only_in_second: uuids of rows that first lacks.
        different: uuids that both have, with different rows.
        complete: False when there were so many differences that the search was broken off.
        seconds: how long it took.
    """

    table: str
    rows: Counts
    only_in_first: tuple[str, ...]
    only_in_second: tuple[str, ...]
    different: tuple[str, ...]
    complete: bool
    seconds: float

    @property
    def equal(self) -> bool:
        """Whether both sides hold the same rows."""
        return not (self.only_in_first or self.only_in_second or self.different)


async def compare(
    first: Server, second: Server, table: str, *, settle_seconds: float = 5.0, progress: Progress | None = None
) -> Comparison:
    """Compare both sides of a table. Rows that arrive while it runs may or may not take part.

    Args:
        first: database A.
        second: database B.
        table: by the name in the settings.
        settle_seconds: a row is reported when it differs for so long; 0 reports what the first look sees.
        progress: is told how it goes.

    Raises:
        Unavailable: a server cannot be reached.
        PairUnfit, TableUnfit: the table cannot be compared.
    """
    began = time.monotonic()
    tell = progress or (lambda *_: None)
    # A pass over a large table takes as long as it takes; whether the server is at work on it is asked now and then.
    first, second = (replace(server, command_seconds=None) for server in (first, second))
    async with sides_of(first, second, table, TableSide) as (name, sides):
        tell("digest", 0, 1)
        whole = await both(side.whole() for side in sides)
        search = Search(sides, settle_seconds, tell)
        if whole[0] != whole[1]:
            await search.run(max(digest.rows for digest in whole))
    return Comparison(
        table=name,
        rows=Counts(*(digest.rows for digest in whole)),
        only_in_first=search.of_kind("only_in_first"),
        only_in_second=search.of_kind("only_in_second"),
        different=search.of_kind("different"),
        complete=not search.full,
        seconds=time.monotonic() - began,
    )
