"""Asks both databases which tables SNK_TABLES selects, and whether those that only a pattern matches can be synced."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from snk.db.access import Access, Dedicated
from snk.db.server import Server
from snk.errors import Stop
from snk.pair.catalog import lookup
from snk.pair.catalog.shape import unfitness
from snk.pair.core.selection import Chosen, Selection
from snk.pair.sync.pair import Pair
from snk.pair.table.fitness import shapes_of

AT_ONCE = 100

Sides = tuple[Access, Access]


async def look_up(sides: Sides, selection: Selection) -> Chosen:
    """The tables that are selected now, by one statement on each side."""
    found = []
    for access in sides:
        async with access.using() as connection:
            found.append(await lookup.candidates(connection))
    return selection.chosen(*found)


async def reasons_against(sides: Sides, tables: Sequence[str]) -> dict[str, str]:
    """Why tables cannot be synced: the first reason for each of those that cannot."""
    if not tables:
        return {}
    if len(tables) > AT_ONCE:
        return await _in_halves(sides, tables)
    try:
        seen = {access.server.label: await shapes_of(access, tables) for access in sides}
    except Stop as error:  # such as no right to use the schema of one of them
        return await _in_halves(sides, tables) if len(tables) > 1 else {tables[0]: str(error)}
    found = {table: unfitness(*((label, shapes[table]) for label, shapes in seen.items())) for table in tables}
    return {table: str(unfit[0]) for table, unfit in found.items() if unfit}


async def _in_halves(sides: Sides, tables: Sequence[str]) -> dict[str, str]:
    middle = len(tables) // 2
    return await reasons_against(sides, tables[:middle]) | await reasons_against(sides, tables[middle:])


def lacking(table: str, side: str) -> str:
    """The reason why a table that one side lacks is not synced."""
    return f"{side}: there is no table {table}"


async def chosen_in(first: Server, second: Server, selection: Selection) -> Chosen:
    """The tables that are selected now, over a connection to each server that is opened for this."""
    async with _sides(first, second) as sides:
        return await look_up(sides, selection)


async def fitting(pair: Pair, selection: Selection) -> Pair:
    """The pair with the tables that are selected now, without those that only a pattern matches and that are unfit."""
    async with _sides(pair.first, pair.second) as sides:
        chosen = await look_up(sides, selection)
        left_out = {table: lacking(table, side) for table, side in sorted(chosen.lacking.items())}
        left_out |= await reasons_against(sides, [table for table in chosen.matched if table not in left_out])
    tables = (*chosen.exact, *(table for table in chosen.matched if table not in left_out))
    return replace(pair, tables=tables, left_out=left_out)


@asynccontextmanager
async def _sides(first: Server, second: Server) -> AsyncIterator[Sides]:
    async with first.connect() as one, second.connect() as other:
        yield Dedicated(first, one), Dedicated(second, other)
