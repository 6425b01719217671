"""Which daemon works on which table: leases stored in one of the two databases, by its clock.

A daemon is alive while its connection holds an advisory lock. When a daemon is killed, the lock and its leases are free
at once. When it is paused or disconnected, its leases expire. In both cases the next holder gets a greater epoch, which
is stored in the marks: the epoch, not the clock, prevents a late daemon from writing (`snk.pair.table.writer`).

Source: the fencing tokens of M. Kleppmann, "How to do distributed locking", 2016.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db import locks
from snk.db.access import Dedicated
from snk.db.functions import commit_durably, interval
from snk.db.locks import lock, lock_key
from snk.db.server import Server
from snk.pair.schema.own import NAMES_ARRAY, NUMBERS_ARRAY, Lease

LEASE_SECONDS = 6.0
# A request for a table expires after this time; the daemon repeats it while it wants the table.
REQUEST_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class LeaseState:
    """One lease at the time it was read.

    Attributes:
        epoch: how often it was taken.
        holder: the daemon that has it, or had it last.
        free: whether it has expired, was released, or its holder's connection has ended.
        wanted_by: the daemon that requests it, or an empty string.
    """

    table: str
    epoch: int
    holder: str
    free: bool
    wanted_by: str


class LeaseBook:
    """The leases, over one connection to the database that stores them."""

    def __init__(self, server: Server, connection: AsyncConnection, name: str) -> None:
        self._access = Dedicated(server, connection)
        self._name = name
        self._alive = lock_key()

    async def enter(self) -> None:
        """Take the advisory lock that shows that this connection is alive."""
        async with self._access.using() as connection:
            await connection.execute(sa.select(lock(self._alive)))

    async def look(self, tables: Collection[str]) -> dict[str, LeaseState]:
        """All leases, by table; leases of the given tables are created if they do not exist."""
        found = await self._all()
        if missing := [{"table_name": table} for table in tables if table not in found]:
            async with self._access.using() as connection:
                await connection.execute(insert(Lease).on_conflict_do_nothing(), missing)
            found = await self._all()
        return found

    async def _all(self) -> dict[str, LeaseState]:
        async with self._access.using() as connection:
            rows = (await connection.execute(_LEASES)).all()
            others = any(holder and not ended and key != self._alive for _, _, holder, key, ended, _, _ in rows)
            alive = {self._alive} | (await locks.held(connection) if others else frozenset())
        return {
            table: LeaseState(table, epoch, holder, not holder or ended or key not in alive, wanted_by if asked else "")
            for table, epoch, holder, key, ended, asked, wanted_by in rows
        }

    async def take(self, epochs: Mapping[str, tuple[int, int]]) -> frozenset[str]:
        """Take free leases. Those that are taken survive a crash of the server.

        Args:
            epochs: by table, the epoch at which the lease was free, and the new one.

        Returns:
            The tables whose leases were taken; of the others another daemon was faster.
        """
        names = sa.literal(list(epochs), NAMES_ARRAY)
        numbers = [sa.literal(list(each), NUMBERS_ARRAY) for each in zip(*epochs.values(), strict=True)]
        free = sa.func.unnest(names, *numbers).table_valued("name", "before", "after", name="free").render_derived()
        take = sa.update(Lease).where(Lease.table_name == free.c.name, Lease.epoch == free.c.before)
        held = {"epoch": free.c.after, "wanted_by": "", **self._held()}
        locked = sa.select(Lease.epoch).where(Lease.table_name.in_(epochs)).order_by(Lease.table_name).with_for_update()
        async with self._access.transaction() as connection:
            await commit_durably(connection)
            await connection.execute(locked)  # in one order, or two daemons wait for each other
            return frozenset((await connection.execute(take.values(held).returning(Lease.table_name))).scalars())

    async def renew(self, epochs: dict[str, int]) -> None:
        """Renew the leases of these epochs that this daemon still holds."""
        names, numbers = sa.literal(list(epochs), NAMES_ARRAY), sa.literal(list(epochs.values()), NUMBERS_ARRAY)
        ours = sa.func.unnest(names, numbers).table_valued("name", "epoch", name="ours").render_derived()
        still = (Lease.table_name == ours.c.name, Lease.epoch == ours.c.epoch, Lease.holder == self._name)
        renew = sa.update(Lease).where(*still).values(self._held())
        async with self._access.using() as connection:
            await connection.execute(renew)

    async def release(self, table: str, epoch: int) -> None:
        """Release a lease, if this daemon still holds it."""
        ours = (Lease.table_name == table, Lease.epoch == epoch, Lease.holder == self._name)
        release = sa.update(Lease).where(*ours)
        async with self._access.using() as connection:
            await connection.execute(release.values(holder=""))

    async def ask_for(self, table: str) -> None:
        """Request a table from its holder."""
        ask = sa.update(Lease).where(Lease.table_name == table)
        async with self._access.using() as connection:
            await connection.execute(ask.values(wanted_by=self._name, wanted_at=sa.func.clock_timestamp()))

    def _held(self) -> dict[str, object]:
        until = sa.func.clock_timestamp() + interval(LEASE_SECONDS)
        return {"holder": self._name, "alive": self._alive, "until": until}


def _leases() -> sa.Select[str, int, str, int, bool, bool, str]:
    """All leases, with whether they have expired and whether a daemon currently requests them."""
    now = sa.func.clock_timestamp()
    asked = Lease.wanted_at > now - interval(REQUEST_SECONDS)
    return sa.select(
        Lease.table_name, Lease.epoch, Lease.holder, Lease.alive, Lease.until < now, asked, Lease.wanted_by
    )


_LEASES = _leases()
