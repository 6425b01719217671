"""Compares both sides of a table and finds the rows that differ.

Both sides compute the digest of the whole table at the same time. If the digests are equal, the comparison is done;
otherwise it searches for the rows that differ.
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
    """The result of a comparison.

    Attributes:
        only_in_first: uuids of rows that second lacks; sorted, as are the others.
        only_in_second: uuids of rows that first lacks.
        different: uuids that both sides have, with different rows.
        complete: False if the search stopped early because of too many differences.
        seconds: how long the comparison took.
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
    """Compare both sides of a table. Rows that arrive while it runs may or may not be included.

    Args:
        first: database A.
        second: database B.
        table: its name in the settings.
        settle_seconds: how long a row must differ before it is reported; 0 reports what the first look finds.
        progress: called with the progress.

    Raises:
        Unavailable: a server cannot be reached.
        DatabaseUnfit, TableUnfit: the table cannot be compared.
    """
    began = time.monotonic()
    tell = progress or (lambda *_: None)
    # A pass over a large table may take any time, so there is no deadline; SNK periodically checks that the server is
    # still working on it.
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
