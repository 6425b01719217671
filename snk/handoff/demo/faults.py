"""The faults, in their order."""

import asyncio
import time

from snk.board import Board
from snk.core.words import counted
from snk.embedded.programs import until
from snk.handoff.demo.stage import FIRST, SYNC, Stage
from snk.handoff.demo.watch import Watch

NOTICE_SECONDS = 5.0
OFTEN_SECONDS = 0.02
"""A fault must come in the middle of the work."""
SENT_SHARE = 0.2


class Faults:
    """What happens while the clients write.

    Attributes:
        waited: how many lines waited at the end of each fault.
        amiss: faults that had no effect, so that the demo proves nothing.
    """

    def __init__(self, stage: Stage, watch: Watch, board: Board) -> None:
        self.waited: dict[str, int] = {}
        self.amiss: list[str] = []
        self._stage = stage
        self._watch = watch
        self._say = board.say

    async def run(self, seconds: float) -> None:
        """Let all happen, with so many seconds of pauses."""
        for share, fault in (
            (0.10, self._kill_backend),
            (0.20, self._start_backend),
            (0.15, self._silence_network),
            (0.15, self._cut_network),
            (0.15, self._restore_network),
            (0.00, self._kill_sync_server),
            (0.15, self._start_sync_server),
            (0.10, self._over),
        ):
            await asyncio.sleep(share * seconds)
            await fault()

    async def _kill_backend(self) -> None:
        self._say("the first backend is killed (SIGKILL)")
        self._stage.processes.kill(FIRST)

    async def _start_backend(self) -> None:
        lines = await self._waiting("backend killed", self._stage.backends[0])
        self._say(f"the first backend is started again; {lines} for it")
        await self._start(FIRST)

    async def _silence_network(self) -> None:
        self._say("the network of the second backend is silent: connections stay open, and nothing gets through")
        self._stage.network.hold()

    async def _cut_network(self) -> None:
        self._say("the network of the second backend is cut: connections are reset")
        self._stage.network.cut()

    async def _restore_network(self) -> None:
        lines = await self._waiting("network cut", self._stage.backends[1])
        self._say(f"the network of the second backend works again; {lines} for it")
        self._stage.network.release()

    async def _kill_sync_server(self) -> None:
        """Kill it in the middle of its work: it has sent some of the lines, and others wait."""
        some = self._watch.count("synced") + SENT_SHARE * self.waited["network cut"]

        async def works() -> bool:
            waiting = sum((await self._watch.look()).values())
            return waiting > 0 and self._watch.count("synced") > some

        await until(works, NOTICE_SECONDS, OFTEN_SECONDS)
        self._stage.processes.kill(SYNC)
        self.waited["sync server killed"] = lines = sum((self._watch.waiting or {}).values())
        self._say(f"the sync server is killed (SIGKILL) in the middle of its work, while {_wait(lines)}")
        if not lines:
            self.amiss.append("no line waited when the sync server was killed")

    async def _start_sync_server(self) -> None:
        self._say("the sync server is started again")
        self._watch.begins_anew()
        await self._start(SYNC)

    async def _over(self) -> None:
        self._say("the clients end; what waits is sent")

    async def _start(self, name: str) -> None:
        began = time.monotonic()
        self._stage.start(name)
        await self._stage.ready(name)
        self._say(f"it answers after {time.monotonic() - began:.1f} s")

    async def _waiting(self, fault: str, backend: str) -> str:
        """How many lines wait for a backend now, in words."""

        async def some() -> bool:
            return (await self._watch.look()).get(backend, 0) > 0

        await until(some, NOTICE_SECONDS, OFTEN_SECONDS)
        self.waited[fault] = lines = (self._watch.waiting or {}).get(backend, 0)
        if not lines:
            self.amiss.append(f"no line waited for {backend} ({fault})")
        return _wait(lines)


def _wait(lines: int) -> str:
    return f"{counted(lines, 'line')} {'waits' if lines == 1 else 'wait'}"
