"""Which tables have rows above given ids: asked of a few tables in each statement, over one connection."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.errors import refused
from snk.db.server import Server
from snk.errors import SnkError
from snk.pair.table import commits
from snk.pair.table.commits import Ids

FEW = 10  # tables in one statement
STATEMENTS = 50  # as many as a connection keeps prepared, or more tables go into each
ASIDE_SECONDS = 5.0


@dataclass(eq=False, slots=True)
class _Group:
    """Tables that one statement asks about.

    Attributes:
        asked: the statement: the positions of those that have rows above ``highs``.
        aside_until: monotonic time until which nothing is asked of them, as it failed.
    """

    tables: Sequence[Ids]
    asked: sa.Select[Any] = field(init=False)
    aside_until: float = 0.0

    def __post_init__(self) -> None:
        self.asked = commits.with_news(self.tables)

    def halves(self) -> list["_Group"]:
        middle = len(self.tables) // 2
        return [_Group(self.tables[:middle]), _Group(self.tables[middle:])]


class Exactly:
    """The statements about the tables of one server.

    Attributes:
        owed: tables that could not be asked about, and have to be, even if nothing changes any more.
    """

    def __init__(self, server: Server) -> None:
        self.owed: set[Ids] = set()
        self._server = server
        self._groups: dict[Ids, _Group] = {}

    async def ask(self, connection: AsyncConnection, highs: Mapping[Ids, int]) -> tuple[set[Ids], set[Ids]]:
        """The tables with rows above these ids, and those of which it could not be told now: their flows find out why.

        Raises:
            SnkError: the connection is lost.
        """
        self._regroup(highs)
        found, untold = set[Ids](), set[Ids]()
        now = time.monotonic()
        for group in {id(group): group for group in map(self._groups.__getitem__, highs)}.values():
            there = {table for table in group.tables if table in highs}
            if group.aside_until > now:
                self.owed |= there
                continue
            asked = [highs.get(table) for table in group.tables]
            try:
                async with self._server.answering(connection):
                    positions = (await connection.execute(group.asked, {"highs": asked})).scalar_one()
            except SnkError as error:
                if not refused(error):
                    raise
                self._set_aside(group)
                untold |= there
            else:
                self.owed -= there
                found |= {group.tables[at] for at in positions}
        self.owed |= untold
        return found, untold

    def tidy(self, tables: Collection[Ids]) -> None:
        """Group anew if most tables are gone, or groups have become small; owe nothing of tables that are not given."""
        self.owed &= set(tables)
        groups, now = set(self._groups.values()), time.monotonic()
        small = len(groups) > 2 * (len(self._groups) // FEW + 1) and not any(each.aside_until > now for each in groups)
        if small or len(self._groups) > 2 * len(tables) + STATEMENTS:
            self._groups.clear()

    def _regroup(self, tables: Mapping[Ids, int]) -> None:
        """Group tables that are new here."""
        new = [table for table in tables if table not in self._groups]
        if not new:
            return
        few = max(FEW, (len(self._groups) + len(new)) // STATEMENTS)
        for at in range(0, len(new), few):
            self._keep(_Group(new[at : at + few]))

    def _keep(self, group: _Group) -> None:
        self._groups |= dict.fromkeys(group.tables, group)

    def _set_aside(self, group: _Group) -> None:
        """A table of the group is locked, gone or not to be read; the others are asked about again."""
        if len(group.tables) > 1:
            for half in group.halves():
                self._keep(half)
        else:
            group.aside_until = time.monotonic() + ASIDE_SECONDS
