"""The interface of every contender."""

import signal
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from bench.ground import Ground
from bench.watch import STALLED_SECONDS
from snk.embedded.process import Child


class Contender:
    """Keeps the tables of both sides equal; this base class does nothing.

    Attributes:
        name: as shown in the tables of results.
        options: settings that its servers need.
        stalled_seconds: while rows are missing, how long none may arrive before the missing ones are counted as lost.
    """

    name = "nobody"
    options: Mapping[str, str] = MappingProxyType({})
    stalled_seconds = STALLED_SECONDS

    def absent(self) -> str:
        """Why the contender cannot run here, or an empty string."""
        return ""

    async def start(self, ground: Ground, tables: Sequence[str]) -> None:
        """Start; from when this returns, the contender delivers all rows that are inserted into the tables."""

    async def adopt(self, ground: Ground, tables: Sequence[str]) -> None:
        """Before the first start: declare that both sides are equal now, so existing rows need not be copied."""

    async def pause(self) -> None:
        """Stop delivering, so that rows wait."""

    async def resume(self) -> None:
        """Continue with the rows that have waited."""

    async def stop(self) -> None:
        """Stop the contender and everything that it started."""

    @property
    def pids(self) -> Sequence[int]:
        """The contender's own processes."""
        return ()


class Program(Contender):
    """A contender that is a process of its own."""

    def __init__(self) -> None:
        self.child: Child | None = None

    async def pause(self) -> None:
        """Stop it with SIGSTOP."""
        if self.child:
            self.child.send(signal.SIGSTOP)

    async def resume(self) -> None:
        """Continue it."""
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
