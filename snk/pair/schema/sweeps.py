"""Sweeps that are owed to a table: kept in its own database until one has proven both sides equal.

A mark says which rows are here. Now and then there is reason to doubt it: the table was emptied, or the other side
went back to an earlier state, so rows that the mark counts may be gone. Then the whole table must be compared. The flow
that notices it writes the reason down while the evidence is still there: the daemon may die before the sweep ends, and
its successor would see nothing strange.

That order needs no wait for the disk, though SNK's transactions do not wait for it by themselves. The reason and what
gives it away are written to one database, one after the other, so they are in its log in this order; a crash, and a
standby that takes over, lose an end of that log:

- That the table has another body, in one statement with the body that is kept: both are there, or neither is, and then
  it is noticed again.
- That the other side went back, before the mark that shows it moves: if the reason is lost, so is the mark's move, and
  the mark shows it again.
- That a reason was settled may be lost, too. Then the table is compared once more.
"""

import json
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.functions import commit_locally
from snk.db.server import Server
from snk.pair.schema.own import SweepKept

REWRITTEN = "the table was truncated, rewritten or recreated"


@dataclass(frozen=True, slots=True)
class Owed:
    """A sweep that is owed.

    Attributes:
        reason: why, for the log.
        doubts: what `Sweeps.settle` has to be given; it settles nothing where there is another reason by then.
    """

    reason: str
    doubts: int


class Sweeps:
    """What is owed to one table, as the database of one side keeps it."""

    def __init__(self, server: Server, connection: AsyncConnection, table_name: str) -> None:
        self._server = server
        self._connection = connection
        self._ours = SweepKept.table_name == table_name
        self._table_name = table_name

    async def look(self, storage: str) -> bool:
        """Keep the body that the table has now, and owe a sweep if it was emptied, rewritten or made anew.

        Returns:
            Whether it was, since somebody looked last.
        """
        first = insert(SweepKept).values(table_name=self._table_name).on_conflict_do_nothing()
        kept = sa.select(SweepKept.storage_fingerprint).where(self._ours)
        async with self._server.answering(self._connection):
            before = (await self._connection.execute(kept)).scalar_one_or_none()
            if before is None:
                await self._connection.execute(first)
            rewritten = _rewritten(before or "{}", storage)
            if before != storage:
                doubted = {"owed": REWRITTEN, "doubts": SweepKept.doubts + 1} if rewritten else {}
                keep = sa.update(SweepKept).where(self._ours).values(storage_fingerprint=storage, **doubted)
                await self._connection.execute(keep)
        return rewritten

    async def owe(self, reason: str) -> None:
        """Owe a sweep, from now on and whatever becomes of this process."""
        first = insert(SweepKept).values(table_name=self._table_name, owed=reason, doubts=1)
        again = first.on_conflict_do_update(
            index_elements=[SweepKept.table_name], set_={"owed": reason, "doubts": SweepKept.doubts + 1}
        )
        async with self._server.answering(self._connection):
            await self._connection.execute(again)

    async def owed(self) -> Owed | None:
        """The sweep that is owed, if one is."""
        owed = sa.select(SweepKept.owed, SweepKept.doubts).where(self._ours, SweepKept.owed != "")
        async with self._server.answering(self._connection):
            row = (await self._connection.execute(owed)).one_or_none()
        return Owed(row.owed, row.doubts) if row else None

    async def flush(self) -> None:
        """Wait until everything that was committed in this database is on its own disk."""
        touch = sa.update(SweepKept).where(self._ours).values(doubts=SweepKept.doubts)
        async with self._server.answering(self._connection):
            await commit_locally(self._connection)
            await self._connection.execute(touch)

    async def settle(self, owed: Owed) -> None:
        """A sweep that began after it was owed has proven both sides equal."""
        settle = sa.update(SweepKept).where(self._ours, SweepKept.doubts == owed.doubts).values(owed="")
        async with self._server.answering(self._connection):
            await self._connection.execute(settle)


def _rewritten(before: str, now: str) -> bool:
    """Whether a part of the table is in another file than before.

    Partitions that came or went are none of the reasons: rows are added and purged so, on one side after the other.
    """
    kept, present = json.loads(before), json.loads(now)
    return any(present[name] != kept[name] for name in present.keys() & kept.keys())
