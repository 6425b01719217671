"""Asks both databases which tables SNK_TABLES selects, and whether those that only a pattern matches can be synced."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from snk.db.access import Access, Dedicated
from snk.db.server import Server
from snk.errors import Stop
from snk.pair.catalog import lookup
from snk.pair.catalog.shape import Shape, differences, faults
from snk.pair.core.selection import Chosen, Selection
from snk.pair.sync.pair import Pair
from snk.pair.table.fitness import shape_of

Sides = tuple[Access, Access]


async def look_up(sides: Sides, selection: Selection) -> Chosen:
    """The tables that are selected now, by one statement on each side."""
    found = []
    for access in sides:
        async with access.using() as connection:
            found.append(await lookup.candidates(connection))
    return selection.chosen(*found)


async def reason_against(sides: Sides, table: str) -> str:
    """The first reason why a table cannot be synced, or an empty string."""
    shapes: list[Shape] = []
    for access in sides:
        try:
            shape = await shape_of(access, table)
        except Stop as error:
            return str(error)
        if fault := next(faults(shape, access.server.label), None):
            return str(fault)
        shapes.append(shape)
    return str(next(differences(*shapes), ""))


def lacking(table: str, side: str) -> str:
    """The reason why a table that one side lacks is not synced."""
    return f"{side}: there is no table {table}"


async def chosen_in(first: Server, second: Server, selection: Selection) -> Chosen:
    """The tables that are selected now, over a connection to each server that is opened for this."""
    async with _sides(first, second) as sides:
        return await look_up(sides, selection)


async def fitting(pair: Pair, selection: Selection) -> Pair:
    """The pair with the tables that are selected now, without those that only a pattern matches and that are unfit."""
    left_out: dict[str, str] = {}
    async with _sides(pair.first, pair.second) as sides:
        chosen = await look_up(sides, selection)
        for table in chosen.matched:
            side = chosen.lacking.get(table)
            if reason := lacking(table, side) if side else await reason_against(sides, table):
                left_out[table] = reason
    tables = (*chosen.exact, *(table for table in chosen.matched if table not in left_out))
    return replace(pair, tables=tables, left_out=left_out)


@asynccontextmanager
async def _sides(first: Server, second: Server) -> AsyncIterator[Sides]:
    async with first.connect() as one, second.connect() as other:
        yield Dedicated(first, one), Dedicated(second, other)
