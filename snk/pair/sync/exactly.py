"""Which tables have rows above given ids: asked of a few tables in each statement, over one connection."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.errors import refused
from snk.db.server import Server
from snk.errors import SnkError
from snk.pair.table import commits
from snk.pair.table.commits import Ids
from snk.pair.table.statement import Ready, ready

FEW = 20  # tables in one statement
STATEMENTS = 25  # as many as a connection keeps prepared, or more tables go into each
SMALL = 1.5  # times as many groups as there need be
ASIDE_SECONDS = 5.0


@dataclass(eq=False, slots=True)
class _Group:
    """Tables that one statement asks about.

    Attributes:
        asked: the statement, once it was needed: the positions of those that have rows above ``highs``.
        aside_until: monotonic time until which nothing is asked of them, as it failed.
    """

    tables: Sequence[Ids]
    asked: Ready | None = None
    aside_until: float = 0.0

    def halves(self) -> list["_Group"]:
        middle = len(self.tables) // 2
        return [_Group(self.tables[:middle]), _Group(self.tables[middle:])]


@dataclass(frozen=True, slots=True)
class Told:
    """What is known about tables; nothing about those that failed a moment ago.

    Attributes:
        rows: they have rows above the given ids.
        none: they have none.
        refused: it cannot be told: their flows find out why.
    """

    rows: set[Ids]
    none: set[Ids]
    refused: set[Ids]


class Exactly:
    """The statements about the tables of one server.

    Attributes:
        owed: tables that could not be asked about, and have to be, even if nothing changes any more.
    """

    def __init__(self, server: Server) -> None:
        self.owed: set[Ids] = set()
        self._refused_at = float("-inf")
        self._server = server
        self._groups: dict[Ids, _Group] = {}

    async def ask(self, connection: AsyncConnection, highs: Mapping[Ids, int]) -> Told:
        """Ask which tables have rows above these ids.

        Raises:
            SnkError: the connection is lost.
        """
        self._regroup(highs)
        told = Told(set(), set(), set())
        now = time.monotonic()
        for group in {id(group): group for group in map(self._groups.__getitem__, highs)}.values():
            there = {table for table in group.tables if table in highs}
            if group.aside_until > now:
                self.owed |= there
                continue
            asked = {"highs": [highs.get(table) for table in group.tables]}
            group.asked = group.asked or ready(commits.with_news(group.tables), self._server, asked)
            try:
                async with self._server.answering(connection):
                    positions = (await group.asked.over(connection, asked)).scalar_one()
            except SnkError as error:
                if not refused(error):
                    raise
                self._set_aside(group)
                self.owed |= there
                told.refused.update(there)
            else:
                self.owed -= there
                rows = {group.tables[at] for at in positions}
                told.rows.update(rows)
                told.none.update(there - rows)
        return told

    def in_groups(self, tables: Iterable[Ids]) -> list[Ids]:
        """These tables, those next to each other that one statement asks about."""
        return sorted(tables, key=lambda table: id(self._groups.get(table)))

    def tidy(self, tables: Collection[Ids]) -> None:
        """Group anew if most tables are gone, or groups have become small; owe nothing of tables that are not given.

        While tables are refused, they stay in small groups.
        """
        self.owed &= set(tables)
        most_gone = len(self._groups) > 2 * len(tables) + STATEMENTS
        small = len(set(self._groups.values())) > SMALL * len(self._groups) / FEW + 1
        if most_gone or (small and time.monotonic() - self._refused_at > 2 * ASIDE_SECONDS):
            self._groups.clear()
            self._regroup(tables)

    def _regroup(self, tables: Iterable[Ids]) -> None:
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
        self._refused_at = time.monotonic()
        if len(group.tables) > 1:
            for half in group.halves():
                self._keep(half)
        else:
            group.aside_until = self._refused_at + ASIDE_SECONDS
