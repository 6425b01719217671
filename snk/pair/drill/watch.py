"""How long single rows take to the other side: canaries, watched from their commit until they are visible there."""

import asyncio
import time
from collections.abc import Sequence

import sqlalchemy as sa

from snk.db.server import Server
from snk.errors import SnkError
from snk.pair.drill.table import drill_table
from snk.pair.table.synced import UUIDS_ARRAY

LOOK_SECONDS = 0.01
RETRY_SECONDS = 0.05


class CanaryWatch:
    """Looks for the canaries of each side on the other one, a hundred times per second.

    Attributes:
        longest_seconds: the longest delay since the last `reset`, of the canaries that have arrived.
        newest: by the side they were written on, the commit time of the latest canary that has arrived.
    """

    def __init__(self, sides: Sequence[Server]) -> None:
        self.longest_seconds = 0.0
        self.newest = {side.label: 0.0 for side in sides}
        self._sides = sides
        self._awaited: dict[str, dict[str, float]] = {side.label: {} for side in sides}

    def start(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Start; the tasks run until they are cancelled."""
        first, second = self._sides
        return [
            group.create_task(self._look_for(written.label, there))
            for written, there in ((first, second), (second, first))
        ]

    def reset(self) -> None:
        """Restart the measurement; canaries that have not arrived by now are given up."""
        self.longest_seconds = 0.0
        for awaited in self._awaited.values():
            awaited.clear()

    def await_arrival(self, label: str, uuid: str, committed_at: float) -> None:
        """Watch for a row that was committed on a side at this monotonic time."""
        self._awaited[label][uuid] = committed_at

    def arrived_until(self, moment: float) -> bool:
        """Whether all canaries that were committed before this monotonic time have arrived."""
        return all(at > moment for awaited in self._awaited.values() for at in awaited.values())

    @property
    def waiting_seconds(self) -> float:
        """The age of the oldest canary that has not arrived, or 0."""
        oldest = min((at for awaited in self._awaited.values() for at in awaited.values()), default=None)
        return 0.0 if oldest is None else time.monotonic() - oldest

    async def _look_for(self, label: str, there: Server) -> None:
        awaited = self._awaited[label]
        while True:
            try:
                async with there.connect() as connection:
                    while True:
                        if awaited:
                            named = drill_table.c.uuid == sa.any_(sa.literal(list(awaited), UUIDS_ARRAY))
                            found = await connection.execute(sa.select(drill_table.c.uuid).where(named))
                            self._arrived(label, found.scalars().all())
                        await asyncio.sleep(LOOK_SECONDS)
            except SnkError:
                await asyncio.sleep(RETRY_SECONDS)

    def _arrived(self, label: str, uuids: Sequence[str]) -> None:
        now = time.monotonic()
        for uuid in uuids:
            at = self._awaited[label].pop(uuid, None)
            if at is not None:
                self.longest_seconds = max(self.longest_seconds, now - at)
                self.newest[label] = max(self.newest[label], at)
