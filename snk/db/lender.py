"""Lends the connections to one server to those who need one for a statement, so that their number has a limit.

A connection never outlives a boot of its server. So each is lent together with the boot that it was opened in, and who
has learnt something in another boot is refused: what it knows may no longer be true. After a fail-over, connections to
the server that led before may live on. So what counts is the boot in which a new connection has met the server last.

If all are lent, the one who was served longest ago is served next. So a lone row in one table waits for a statement to
end, and not for all the statements that tables under load wait for. Who comes for the first time goes behind all who
wait already, or those who begin again and again would keep the others waiting for ever.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db import catalog
from snk.db.access import Access, transaction
from snk.db.catalog import ServerFacts
from snk.db.server import PID, Kind, Server
from snk.errors import DatabaseUnfit, ParentMissing, RowRefused, Unavailable

SetUp = Callable[[AsyncConnection], Awaitable[None]]
HARMLESS = (RowRefused, DatabaseUnfit, ParentMissing)
"""After these errors of a statement, its connection is as good as before."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One open connection.

    Attributes:
        facts: what was learnt on it when it was opened.
        held: closes it.
    """

    connection: AsyncConnection
    facts: ServerFacts
    held: AsyncExitStack

    @property
    def pid(self) -> int:
        """The number of its backend."""
        return int(self.connection.info[PID])

    @property
    def unchanged(self) -> bool:
        """Whether it is as it was opened: alive, and with each statement in a transaction of its own.

        What was learnt of a standby ends with its promotion, which ends no connection: it is opened anew.
        """
        sync = self.connection.sync_connection
        if sync is None or sync.closed or sync.invalidated or self.facts.standby:
            return False
        return bool(sync.get_execution_options().get("isolation_level", "AUTOCOMMIT") == "AUTOCOMMIT")


@dataclass(order=True, slots=True)
class _Waiter:
    served: int
    number: int
    turn: asyncio.Future[None] = field(compare=False)


class _Loan:
    """A connection in use: by which task, and whether it was interrupted."""

    def __init__(self, task: asyncio.Task[Any] | None) -> None:
        self.task = task
        self.cancelling = task.cancelling() if task else 0
        self.interrupted = False


class Lender:
    """The connections to one server that many share.

    Attributes:
        server: the server.
        boot: in which it was met last; empty before that.
    """

    def __init__(self, server: Server, most: int, set_up: SetUp) -> None:
        """Assign.

        Args:
            server: the server.
            most: how many connections there are at once.
            set_up: prepares a new connection, besides what `Server.connect` does.
        """
        self.server = server
        self._left = most
        self._set_up = set_up
        self._free: list[Kept] = []
        self._waiting: list[_Waiter] = []
        self._loans: dict[int, _Loan] = {}
        self._numbers = count(1)
        self.boot = ""

    @asynccontextmanager
    async def lend(self, served: int | None = None, boot: str = "", pid: int = 0) -> AsyncIterator[Kept]:
        """A connection, as long as the block lasts.

        Args:
            served: the number that `now` returned when the borrower was served last; None if it never was.
            boot: the boot that it has to be of; empty for any.
            pid: the backend that served the borrower last, which has prepared its statements: preferred if it is free.

        Raises:
            Unavailable: the server cannot be reached, or has another boot.
            DatabaseUnfit: it refuses this user.
        """
        await self._turn(self.now() if served is None else served)
        try:
            kept = await self._found(boot, pid)
        except BaseException:
            self._pass_on()
            raise
        try:
            yield kept
        except BaseException as error:
            await self._back(kept, harmless=isinstance(error, HARMLESS))
            raise
        await self._back(kept, harmless=True)

    @property
    def crowded(self) -> bool:
        """Whether somebody waits for a connection."""
        return any(not waiter.turn.done() for waiter in self._waiting)

    @contextmanager
    def interruptible(self, kept: Kept) -> Iterator[None]:
        """Inside the block, `interrupt` ends what is done over a connection.

        Raises:
            Unavailable: it was interrupted.
        """
        task, pid = asyncio.current_task(), kept.pid
        self._loans[pid] = loan = _Loan(task)
        try:
            yield
        except asyncio.CancelledError:
            if loan.interrupted and task and task.uncancel() == loan.cancelling:
                words = f"{self.server.address}: a statement waits for a lock, and gave way to other tables"
                raise Unavailable(words) from None
            raise
        finally:
            if self._loans.get(pid) is loan:  # a backend of another boot may have the same number
                del self._loans[pid]

    def interrupt(self, pids: Collection[int]) -> None:
        """End what is done over the connections with these backends, so that others get one."""
        for pid in pids:
            if (loan := self._loans.get(pid)) and loan.task and not loan.interrupted:
                loan.interrupted = True
                loan.task.cancel()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection for as long as a block lasts that needs several statements; as `Server.connect`."""
        with self.server.translated():
            async with self.lend() as kept:
                with self.interruptible(kept):
                    yield kept.connection

    async def meet(self, connection: AsyncConnection) -> str:
        """Learn from a new connection that is not lent in which boot the server is; return that."""
        async with self.server.answering(connection):
            self.boot = (await catalog.server_facts(connection)).boot
        return self.boot

    def see_boot(self, boot: str) -> None:
        """Check that the server was not met in another boot since it was met in this one.

        Raises:
            Unavailable: it was.
        """
        if self.boot != boot:
            raise Unavailable(f"{self.address}: it was met in another boot")

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A connection with a transaction, which is committed at the end of the block; as `Server.begin`."""
        async with self.connect() as connection, transaction(connection):
            yield connection

    @property
    def address(self) -> str:
        """The server's address without user and password."""
        return self.server.address

    def now(self) -> int:
        """A number that is greater than all before."""
        return next(self._numbers)

    async def close(self) -> None:
        """Close all connections that are not lent."""
        await asyncio.gather(*(_closed(self._free.pop()) for _ in range(len(self._free))))

    async def _turn(self, served: int) -> None:
        """Wait for the right to one connection."""
        if self._left:
            self._left -= 1
            return
        waiter = _Waiter(served, next(self._numbers), asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, waiter)
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled():
                self._pass_on()  # it was granted in the same moment
            else:
                waiter.turn.cancel()
            raise

    def _pass_on(self) -> None:
        """Give a right to the next one, or keep it."""
        while self._waiting:
            turn = heapq.heappop(self._waiting).turn
            if not turn.done():
                turn.set_result(None)
                return
        self._left += 1

    async def _found(self, boot: str, pid: int) -> Kept:
        """A free connection, or a new one: the one that is preferred, or else whichever was free for longest."""
        while self._free:
            at = next((at for at, each in enumerate(self._free) if each.pid == pid), 0)
            kept = self._free.pop(at)
            if kept.facts.boot == self.boot:
                return self._of_boot(boot, kept)
            await _closed(kept)  # it is of an earlier boot, whether it is dead or not
        kept = await self._opened()
        self.boot = kept.facts.boot
        return self._of_boot(boot, kept)

    def _of_boot(self, boot: str, kept: Kept) -> Kept:
        if boot in ("", kept.facts.boot):
            return kept
        self._free.append(kept)
        raise Unavailable(f"{self.server.address}: it has been restarted")

    async def _back(self, kept: Kept, *, harmless: bool) -> None:
        """Keep a connection for the next one, unless it may be dead or in the middle of something."""
        try:
            if harmless and kept.unchanged:
                self._free.append(kept)
            else:
                await _closed(kept)
        finally:
            self._pass_on()

    async def _opened(self) -> Kept:
        async with AsyncExitStack() as opening:
            connection = await opening.enter_async_context(self.server.connect())
            async with self.server.answering(connection):
                await self._set_up(connection)
                facts = await catalog.server_facts(connection)
            return Kept(connection, facts, opening.pop_all())


Door = Server | Lender
"""A way to one server: over connections that are opened, or that are lent."""


async def _closed(kept: Kept) -> None:
    """Close a connection completely, even if the caller is cancelled meanwhile."""
    closing = asyncio.ensure_future(kept.held.aclose())
    _CLOSING.add(closing)
    closing.add_done_callback(_CLOSING.discard)
    await asyncio.shield(closing)


_CLOSING: set[asyncio.Future[None]] = set()
"""The event loop itself would not keep them."""


class Lent(Access):
    """Statements over whichever connection is free.

    Attributes:
        facts: about the server, as learnt on a connection of the boot to which all statements go.
    """

    def __init__(self, lender: Lender, facts: ServerFacts) -> None:
        super().__init__(lender.server)
        self.facts = facts
        self._lender = lender
        self._served, self._pid = lender.now(), 0

    @classmethod
    async def of(cls, lender: Lender) -> "Lent":
        """Access to the boot in which the server is now."""
        async with lender.lend() as kept:
            return cls(lender, kept.facts)

    @asynccontextmanager
    async def using(self, kind: Kind = "look") -> AsyncIterator[AsyncConnection]:
        """A connection of the same boot.

        Raises:
            Unavailable: the server has another boot, or cannot be reached.
        """
        async with self._lender.lend(self._served, self.facts.boot, self._pid) as kept:
            self._served, self._pid = self._lender.now(), kept.pid
            with self._lender.interruptible(kept):
                async with self.server.answering(kept.connection, kind):
                    yield kept.connection
