"""What every contender can do."""

import signal
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from bench.ground import Ground
from bench.watch import STALLED_SECONDS
from snk.embedded.process import Child


class Contender:
    """Keeps tables of both sides equal, or, as it stands here, nothing.

    Attributes:
        name: as in the tables of results.
        options: settings that its servers need.
        stalled_seconds: how long no row may come, while some are missing, until these are given up for lost.
    """

    name = "nobody"
    options: Mapping[str, str] = MappingProxyType({})
    stalled_seconds = STALLED_SECONDS

    def absent(self) -> str:
        """Why it cannot race here, or an empty string."""
        return ""

    async def start(self, ground: Ground, tables: Sequence[str]) -> None:
        """From when this returns, whatever comes into the tables is to be brought over."""

    async def adopt(self, ground: Ground, tables: Sequence[str]) -> None:
        """Before the first start: what both sides hold now is the same, and need not be brought over."""

    async def pause(self) -> None:
        """Let rows wait."""

    async def resume(self) -> None:
        """Go on with what has waited."""

    async def stop(self) -> None:
        """End, with all that was started."""

    @property
    def pids(self) -> Sequence[int]:
        """The processes that are its own."""
        return ()


class Program(Contender):
    """A contender that is a process of its own."""

    def __init__(self) -> None:
        self.child: Child | None = None

    async def pause(self) -> None:
        """Stop it where it stands."""
        if self.child:
            self.child.send(signal.SIGSTOP)

    async def resume(self) -> None:
        """Let it run on."""
        if self.child:
            self.child.send(signal.SIGCONT)

    async def stop(self) -> None:
        """Tell it to end."""
        if self.child:
            self.child.end(signal.SIGTERM, 10.0)

    @property
    def pids(self) -> Sequence[int]:
        """Its process."""
        return (self.child.pid,) if self.child else ()
