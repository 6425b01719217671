"""The faults, in their order, and what each of them did."""

import asyncio
import time
from collections.abc import Callable

from snk.board import Board
from snk.core.words import counted
from snk.embedded.programs import until
from snk.pipeline.demo.stage import PULL, PUSH, RS, SS, Stage
from snk.pipeline.demo.watch import Watch
from snk.pipeline.status import Status

NOTICE_SECONDS = 10.0
SEES = {SS: PULL, RS: PUSH}
"""Which process of the pipeline notices that a server or its network fails."""
SILENCED, CUT, KILLED = "network silenced", "network cut", "killed"


class Faults:
    """What happens while frames are pulled and pushed.

    Attributes:
        effects: what each fault did, in words.
        amiss: faults that had no effect, so that the demo proves nothing.
        pull_is_safe: set when all is over that keeps pull from its work.
    """

    def __init__(self, stage: Stage, watch: Watch, board: Board) -> None:
        self.effects: dict[str, str] = {}
        self.amiss: list[str] = []
        self.pull_is_safe = asyncio.Event()
        self._stage = stage
        self._watch = watch
        self._say = board.say

    async def run(self, seconds: float) -> None:
        """Let all happen, with so many seconds of pauses: first what stops pull, then what stops push."""
        for worker, server in ((PULL, SS), (PUSH, RS)):
            await asyncio.sleep(0.06 * seconds)
            await self._kill_worker(worker)
            await asyncio.sleep(0.02 * seconds)
            await self._start_worker(worker)
            await asyncio.sleep(0.06 * seconds)
            await self._silence(server)
            await asyncio.sleep(0.02 * seconds)
            await self._cut(server)
            self._say(f"the network of the {_words(server)} works again")
            self._stage.ends[server].network.release()
            await asyncio.sleep(0.06 * seconds)
            await self._kill_server(server)
            await self._start(server)
            await self._works(worker)
            self.pull_is_safe.set()

    async def _kill_worker(self, name: str) -> None:
        """Kill pull or push in the middle of its work."""
        if not await self._works(name):
            self.amiss.append(f"{name} had nothing to do when it was killed")
        self._stage.processes.kill(name)
        self._say(f"{name} is killed (SIGKILL) in the middle of its work")

    async def _start_worker(self, name: str) -> None:
        def left(status: Status) -> str:
            count = status.missing if name == PULL else status.waiting_records
            return f"{counted(count, 'frame' if name == PULL else 'record')} waited" if count else ""

        await self._noted(name, KILLED, left)
        await self._start(name)

    async def _silence(self, name: str) -> None:
        network = self._stage.ends[name].network
        await self._works(SEES[name])
        self._say(f"the network of the {_words(name)} is silent: connections stay open, and nothing gets through")
        before = network.held_bytes
        network.hold()
        await self._complains(name, SILENCED)
        if network.held_bytes == before:
            self.amiss.append(f"nothing was sent while the network of the {_words(name)} was silent")

    async def _cut(self, name: str) -> None:
        network = self._stage.ends[name].network
        self._say(f"the network of the {_words(name)} is cut: connections are reset")
        before = network.cut_connections
        network.cut()

        def reset(_: Status) -> str:
            count = network.cut_connections - before
            return f"{counted(count, 'connection')} reset" if count else ""

        await self._noted(name, CUT, reset)

    async def _kill_server(self, name: str) -> None:
        await self._works(SEES[name])
        self._say(f"the {_words(name)} is killed (SIGKILL)")
        self._stage.processes.kill(name)
        await self._complains(name, KILLED)

    async def _works(self, name: str) -> bool:
        """Wait until pull or push works again, and has something to do."""
        before = (await self._watch.look()).records

        def works(status: Status) -> bool:
            report = status.pull if name == PULL else status.push
            moves = report.in_flight > 0 or (name == PUSH and status.records > before)
            return report.fresh and not report.trouble and moves

        return await self._seen(works)

    async def _complains(self, name: str, fault: str) -> None:
        """Wait until the pipeline has noticed that a server does not answer."""
        began = time.time()

        def complaint(status: Status) -> str:
            report = status.pull if SEES[name] == PULL else status.push
            return f"{SEES[name]} said: {report.trouble}" if report.at > began and report.trouble else ""

        await self._noted(name, fault, complaint)

    async def _start(self, name: str) -> None:
        began = time.monotonic()
        self._stage.start(name)
        await self._stage.ready(name)
        self._say(f"{_words(name)} is started again, and works after {time.monotonic() - began:.1f} s")

    async def _noted(self, name: str, fault: str, effect: Callable[[Status], str]) -> None:
        """Wait for the effect of a fault, and note it."""
        what = f"{name} {fault}"
        if await self._seen(lambda status: bool(effect(status))):
            self.effects[what] = words = effect(self._watch.status)
            self._say(f"  {words}")
        else:
            self.amiss.append(f"this fault had no effect: {what}")

    async def _seen(self, true: Callable[[Status], bool]) -> bool:
        async def seen() -> bool:
            return true(await self._watch.look())

        return await until(seen, NOTICE_SECONDS)


def _words(name: str) -> str:
    return name.replace("-", " ")
