"""How far the pipeline is, as its files tell."""

import asyncio

from snk.pipeline.demo.script import DELAY_SECONDS, LOOKBACK_SECONDS
from snk.pipeline.frame import Portion
from snk.pipeline.schedule import Looking
from snk.pipeline.space import Space
from snk.pipeline.status import Known, Status, Watcher


class Watch:
    """Looks at both spaces.

    Attributes:
        status: what was seen last.
    """

    def __init__(self, space: Space) -> None:
        self.status = Status()
        self._space = space
        self._watcher = Watcher(space, Known(Looking(space.grid, LOOKBACK_SECONDS), DELAY_SECONDS, 0, digests=True))
        self._looking = asyncio.Lock()

    async def look(self) -> Status:
        """Look once."""
        async with self._looking:
            self.status = await asyncio.to_thread(self._watcher.status)
        return self.status

    def pulled(self, frame: int) -> bool:
        """Whether a frame is there, or was pushed already."""
        portion = Portion(frame)
        return self._space.frames.file(portion).exists() or self._space.done.file(portion).exists()

    async def all_done(self, frames: int, late: int) -> bool:
        """Whether so many frames are done and found in the database, with at least so many records that came late."""
        status = await self.look()
        left = status.missing + status.pulled + status.pushing + status.accepted + status.quarantined
        return not left and status.done >= frames and status.late >= late
