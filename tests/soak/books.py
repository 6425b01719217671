"""What must be in the databases at the end, exactly, however servers crashed meanwhile.

Each row says whose it is: its data are ``writer.transaction.number``, and its uuid follows from them and the seed. So
the books need no row, only which numbers of which transaction were committed, and how sure that is:

- *firm*: answered, and on disk: every row is there, once, on both sides.
- *in doubt*: the answer was lost. All of it is there, or nothing.
- *at risk*: answered with ``synchronous_commit = off`` and not known to be on disk. If the server crashes now, it may
  take back all of it, or what had not crossed; nothing else may happen. Once the server has flushed, it is firm.
"""

import asyncio
import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from uuid import UUID

from asyncpg import InterfaceError, PostgresError
from sqlalchemy.exc import DBAPIError

from tests.kit.databases import Database

AWAY = (DBAPIError, OSError, PostgresError, InterfaceError)
WELL_FORMED = r"^\w+\.\d+\.\d+$"


class Sure(Enum):
    """How sure it is that a transaction is there for good."""

    FIRM = auto()
    DOUBT = auto()
    RISK = auto()


@dataclass(slots=True)
class Deed:
    """One transaction that was, or may have been, committed."""

    name: str
    table: str
    kind: str
    numbers: "array[int]"
    lazy: bool
    sure: Sure = Sure.DOUBT


@dataclass(slots=True)
class Risks:
    """The transactions of one server that a crash could take back now."""

    crashes: int = 0
    deeds: list[Deed] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the databases hold, against the books.

    Attributes:
        faults: what is wrong, in sentences; none if both sides are as the books say.
        gone: rows that crashes took back, as they may.
        found: transactions whose answer was lost and that are there.
        rows: in both tables, on each side.
    """

    faults: tuple[str, ...]
    rows: int
    gone: int
    found: int


class Books:
    """The books of one soak."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.deeds: dict[str, Deed] = {}
        self.risks = (Risks(), Risks())
        self.rows = 0
        self.most_at_risk = 0

    def uuid_of(self, data: str) -> UUID:
        return UUID(bytes=hashlib.md5(f"{self.seed}:{data}".encode(), usedforsecurity=False).digest())

    def begin(self, name: str, table: str, kind: str, numbers: Iterable[int], *, lazy: bool) -> Deed:
        """About to commit: from now on, and until there is an answer, it is in doubt."""
        deed = self.deeds[name] = Deed(name, table, kind, array("i", numbers), lazy)
        return deed

    def answered(self, deed: Deed, side: int, crashes: int) -> None:
        """The server said that it is committed; so many crashes had begun when it was asked to."""
        risks = self.risks[side]
        self.rows += len(deed.numbers)
        if not deed.lazy:
            deed.sure = Sure.FIRM
            return
        deed.sure = Sure.RISK
        if crashes == risks.crashes:
            risks.deeds.append(deed)

    def crash(self, side: int) -> int:
        """To be told before and after the server is crashed; what is at risk stays so.

        Returns:
            The rows at risk.
        """
        risks = self.risks[side]
        risks.crashes += 1
        rows = sum(len(deed.numbers) for deed in risks.deeds)
        self.most_at_risk = max(self.most_at_risk, rows)
        risks.deeds.clear()
        return rows

    async def watch(self, sides: tuple[Database, Database]) -> None:
        """Make firm what the servers have flushed, until cancelled."""
        while True:
            for at, side in enumerate(sides):
                with suppress(*AWAY, TimeoutError):
                    async with asyncio.timeout(10):
                        await self._flushed(at, side)
            await asyncio.sleep(0.2)

    async def _flushed(self, at: int, side: Database) -> None:
        risks = self.risks[at]
        async with side.connect() as connection:
            crashes, deeds = risks.crashes, list(risks.deeds)
            if not deeds:
                return
            written = (await connection.exec_driver_sql("select pg_current_wal_insert_lsn()::text")).scalar_one()
            query = f"select pg_current_wal_flush_lsn() >= '{written}'::pg_lsn"
            while not (await connection.exec_driver_sql(query)).scalar_one():
                await asyncio.sleep(0.05)
        if crashes != risks.crashes:
            return
        for deed in deeds:
            deed.sure = Sure.FIRM
        flushed = {deed.name for deed in deeds}
        risks.deeds[:] = [deed for deed in risks.deeds if deed.name not in flushed]

    async def judge(self, sides: tuple[Database, Database], tables: Iterable[str]) -> Verdict:
        """Compare both sides with the books, row by row."""
        faults: list[str] = []
        found: list[dict[str, list[int]]] = [{}, {}]
        for table in tables:
            for at, side in enumerate(sides):
                there, wrong = await held(side, table, self.seed)
                found[at].update(there)
                faults += [f"{table} on side {at + 1} holds {wrong} rows that nobody wrote"] if wrong else []
        faults += list(self._strangers(found))
        gone = kept = 0
        for deed in self.deeds.values():
            here, over_there = (side.get(deed.name, []) for side in found)
            faults += list(_wrong(deed, here, over_there))
            kept += deed.sure is Sure.DOUBT and bool(here)
            gone += len(deed.numbers) - len(here) if deed.sure is Sure.RISK else 0
        rows = sum(len(numbers) for numbers in found[0].values())
        return Verdict(tuple(faults), rows, gone, kept)

    def _strangers(self, found: list[dict[str, list[int]]]) -> Iterable[str]:
        for at, names in enumerate(found):
            if strange := names.keys() - self.deeds.keys():
                yield f"side {at + 1} holds {len(strange)} transactions nobody committed, such as {min(strange)}"

    def counts(self) -> Counter[str]:
        """How many transactions of each kind were committed, and how many stayed unsure."""
        counts = Counter(deed.kind for deed in self.deeds.values() if deed.sure is not Sure.DOUBT)
        counts["(lazily durable)"] = sum(deed.lazy for deed in self.deeds.values())
        counts["(in doubt)"] = sum(deed.sure is Sure.DOUBT for deed in self.deeds.values())
        counts["(at risk in a crash)"] = sum(deed.sure is Sure.RISK for deed in self.deeds.values())
        return counts


async def held(side: Database, table: str, seed: str) -> tuple[dict[str, list[int]], int]:
    """Which numbers of which transactions a table holds, in order; and how many rows are nobody's."""
    ours = f"data ~ '{WELL_FORMED}' and uuid = md5('{seed}:' || data)::uuid"
    name = "split_part(data, '.', 1) || '.' || split_part(data, '.', 2)"
    number = "split_part(data, '.', 3)::int"
    rows = await side.rows(
        f"select {name}, array_agg({number} order by {number}) from {table} where {ours} group by {name}"
    )
    wrong = await side.value(f"select count(*) from {table} where ({ours}) is not true")
    return dict(rows), int(wrong)


def _wrong(deed: Deed, here: list[int], there: list[int]) -> Iterable[str]:
    """What is wrong with one transaction, of which the sides hold these rows."""
    wanted = sorted(deed.numbers)
    what = f"{deed.name} ({deed.kind}, {deed.sure.name.lower()}{', lazy' * deed.lazy}, {len(wanted)} rows)"
    if here != there:
        yield f"{what}: the first side holds {len(here)} rows of it, the second {len(there)}"
    for held_here in (here, there):
        if len(held_here) != len(set(held_here)):
            yield f"{what}: a row is there twice"
        elif deed.sure is Sure.FIRM and held_here != wanted:
            lost, more = set(wanted) - set(held_here), set(held_here) - set(wanted)
            yield f"{what}: {len(lost)} rows are lost, {len(more)} too many"
        elif not set(held_here) <= set(wanted):
            yield f"{what}: rows that were rolled back are there"
        elif deed.sure is Sure.DOUBT and not deed.lazy and held_here not in ([], wanted):
            yield f"{what}: it was torn, {len(held_here)} rows are there"
