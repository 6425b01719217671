"""Sweeps that are owed: each database stores those of its own tables until a sweep has proven both sides equal.

A mark says which rows are here. Sometimes it can be wrong: the table was emptied, or the other side went back to an
earlier state, so rows that the mark counts may be gone. Then the whole table must be compared. The flow that detects
this stores the reason while the evidence still exists: the daemon may die before the sweep ends, and its successor
would find nothing unusual.

This order needs no wait for the disk, although SNK commits asynchronously. The reason and its evidence are written to
the same database, one after the other, so its WAL contains them in this order. A crash or a failover to a standby
loses only the end of the WAL:

- The table has a new storage fingerprint: one statement stores the reason and the fingerprint. Either both survive, or
  neither does and the change is detected again.
- The other side went back: the reason is stored before the mark moves. If the reason is lost, the mark's move is lost
  too, and the mark shows the change again.
- A reason was settled: if this is lost, the table is compared once more.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.access import Access
from snk.db.functions import commit_locally
from snk.pair.schema.own import SweepKept, ours

REWRITTEN = "the table was truncated, rewritten or recreated"


@dataclass(frozen=True, slots=True)
class Owed:
    """A sweep that is owed.

    Attributes:
        reason: why, for the log.
        doubts: pass it to `Sweeps.settle`, which settles nothing if another reason was stored meanwhile.
    """

    reason: str
    doubts: int


class Sweeps:
    """The owed sweep of one table, as stored in the database of one side."""

    def __init__(self, access: Access, table_name: str) -> None:
        self._access = access
        self._ours = SweepKept.table_name == table_name
        self._table_name = table_name

    async def owe(self, reason: str) -> None:
        """Store that a sweep is owed. The record survives this process."""
        first = insert(SweepKept).values(table_name=self._table_name, owed=reason, doubts=1)
        again = first.on_conflict_do_update(
            index_elements=[SweepKept.table_name], set_={"owed": reason, "doubts": SweepKept.doubts + 1}
        )
        async with self._access.using() as connection:
            await connection.execute(again)

    async def flush(self) -> None:
        """Wait until this database has flushed everything committed so far to its own disk."""
        touch = sa.update(SweepKept).where(self._ours).values(doubts=SweepKept.doubts)
        async with self._access.transaction() as connection:
            await commit_locally(connection)
            await connection.execute(touch)

    async def settle(self, owed: Owed) -> None:
        """Record that a sweep which began after this one was owed has proven both sides equal."""
        settle = sa.update(SweepKept).where(self._ours, SweepKept.doubts == owed.doubts).values(owed="")
        async with self._access.using() as connection:
            await connection.execute(settle)


async def look(connection: AsyncConnection, seen: Sequence[tuple[str, str]]) -> dict[tuple[str, str], bool]:
    """Store the storage fingerprints of tables; owe a sweep of each that was emptied, rewritten or recreated.

    Args:
        connection: to the database of the tables.
        seen: the names of the tables, each with its fingerprint.

    Returns:
        Whether this happened since the last look, for each of them.
    """
    kept = sa.select(SweepKept.table_name, SweepKept.storage_fingerprint).where(ours(SweepKept))
    names = {"names": [name for name, _ in seen]}
    before = {row[0]: row[1] for row in await connection.execute(kept, names)}
    if new := [{"table_name": name, "storage_fingerprint": now} for name, now in seen if name not in before]:
        await connection.execute(insert(SweepKept).on_conflict_do_nothing(), new)
    found = {(name, now): _rewritten(before.get(name) or "{}", now) for name, now in seen}
    for (name, now), rewritten in found.items():
        if before.get(name, now) != now:
            doubted = {"owed": REWRITTEN, "doubts": SweepKept.doubts + 1} if rewritten else {}
            keep = sa.update(SweepKept).where(SweepKept.table_name == name)
            await connection.execute(keep.values(storage_fingerprint=now, **doubted))
    return found


async def owed(connection: AsyncConnection, names: Sequence[str]) -> dict[str, Owed | None]:
    """The sweeps that are owed of tables; None if none is."""
    found = sa.select(SweepKept.table_name, SweepKept.owed, SweepKept.doubts)
    found = found.where(ours(SweepKept), SweepKept.owed != "")
    rows = (await connection.execute(found, {"names": list(names)})).all()
    return {**dict.fromkeys(names), **{name: Owed(reason, doubts) for name, reason, doubts in rows}}


def _rewritten(before: str, now: str) -> bool:
    """Whether a part of the table is stored in a different file than before.

    Added and removed partitions do not count: this is how rows are added and purged, on one side after the other.
    """
    kept, present = json.loads(before), json.loads(now)
    return any(present[name] != kept[name] for name in present.keys() & kept.keys())
