"""PostgreSQL's logical replication in both directions: a publication and a subscription on each side."""

import asyncio
from collections.abc import Mapping, Sequence

from bench.contenders.contender import Contender
from bench.ground import Ground, number, run


class Native(Contender):
    """Two subscriptions with ``origin = none``; rows keep their uuid and get an id from the side that receives them.

    Like SNK it copies only inserts, and each side draws its own ids: the publication leaves out the id.
    """

    name = "native"
    options: Mapping[str, str] = {"wal_level": "logical"}

    async def start(self, ground: Ground, tables: Sequence[str]) -> None:
        """Publish on both sides, then subscribe."""
        self._sides = ground.sides
        columns = ", ".join(f"{table} (uuid, data)" for table in tables)
        for side in ground.sides:
            await run(side, f"create publication p for table {columns} with (publish = 'insert')")
        for side, other, name in zip(ground.sides, ground.sides[::-1], ("one", "two"), strict=True):
            await run(
                side,
                f"create subscription {name} connection '{other.dsn}' publication p"
                " with (origin = none, copy_data = false)",
            )
        await self._until_working(workers=2)

    async def pause(self) -> None:
        """Disable the subscriptions and wait until their workers have ended."""
        await self._all("disable")
        await self._until_working(workers=0)

    async def resume(self) -> None:
        """Enable them."""
        await self._all("enable")

    async def stop(self) -> None:
        """Drop the subscriptions and publications, so that the servers can be used further."""
        for side, name in zip(self._sides, ("one", "two"), strict=True):
            await run(side, f"drop subscription {name}")
        for side in self._sides:
            await run(side, "drop publication p")

    async def _all(self, what: str) -> None:
        for side, name in zip(self._sides, ("one", "two"), strict=True):
            await run(side, f"alter subscription {name} {what}")

    async def _until_working(self, *, workers: int) -> None:
        """Wait until this many workers are streaming, on both sides together."""
        streaming = "select count(*) from pg_stat_replication where state = 'streaming'"
        while sum([await number(side, streaming) for side in self._sides]) != workers:
            await asyncio.sleep(0.05)
