"""Decides which tables this daemon works on: it renews its leases, takes free ones, and shares with other daemons.

One loop does this once or twice a second. A daemon that has at least two tables fewer than another requests one of
these; the other daemon finishes its current batch and releases it. So tables spread over the daemons, and a single
table stays where it is until its daemon ends.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db import catalog
from snk.db.lender import Lender
from snk.db.server import Server
from snk.errors import SnkError, TableUnfit
from snk.log import Reminder
from snk.pair.schema.leases import LeaseBook, LeaseState

LOOK_SECONDS = 0.5
LEADING_SECONDS = 1.0  # while this daemon holds all its tables
LOOKED_AT_PER_SECOND = 200  # leases, if it holds hundreds
RENEW_SECONDS = 1.5
RETRY_SECONDS = 1.0

log = structlog.get_logger()


@dataclass(slots=True)
class HeldLease:
    """A lease that this daemon holds.

    Attributes:
        table: its name in the settings.
        epoch: the epoch to store in the marks.
        holder: the name of this daemon.
        beaten_by: a greater epoch that was found in a mark, or 0.
        asked: set when another daemon requests the table: finish and release it.
        lost: set when another daemon holds the table: writes in progress will be rejected.
    """

    table: str
    epoch: int
    holder: str
    beaten_by: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    def lose(self, beaten_by: int = 0) -> None:
        """Record that another daemon took the lease, or that its database was reset to an earlier time."""
        self.beaten_by = beaten_by
        self.lost.set()


Seen = Callable[[str, str, SnkError | None], None]
"""Callback for a table that this daemon does not hold: who holds it, or the error that hides the holder."""


class Leases:
    """The leases of one daemon on one pair. Leases of tables that were not admitted are ignored."""

    def __init__(self, servers: tuple[Server, Server], lenders: Mapping[str, Lender], name: str, seen: Seen) -> None:
        """Assign.

        Args:
            servers: one of them keeps the leases, over one connection.
            lenders: they know in which boots the servers were met last, by their labels.
            name: of this daemon.
            seen: told of tables on which another daemon works.
        """
        self._servers = servers
        self._lenders = lenders
        self._name = name
        self._seen = seen
        self._held: dict[str, HeldLease] = {}
        self._lead: dict[str, asyncio.Queue[HeldLease]] = {}
        self._full_names: dict[str, str] = {}
        self._let_go: list[HeldLease] = []
        self._beaten_by: dict[str, int] = {}
        self._look_now = asyncio.Event()
        self._home: Server | None = None
        self._closed = False
        self._retired = False
        self._reminder = Reminder()
        self._renewed = float("-inf")

    def admit(self, table: str) -> None:
        """From now on, take the lease of this table, too."""
        self._lead[table] = asyncio.Queue()
        self._look_now.set()

    def dismiss(self, table: str) -> None:
        """Take the lease of a table no longer, after the work on it has ended; release it if it was taken meanwhile."""
        del self._lead[table]
        if (held := self._held.get(table)) and held not in self._let_go:
            self._let_go.append(held)
        self._look_now.set()

    async def lead(self, table: str) -> HeldLease:
        """Wait until this daemon holds the lease of a table."""
        return await self._lead[table].get()

    def end(self, held: HeldLease) -> None:
        """Record that the work on a table has ended."""
        self._let_go.append(held)
        self._look_now.set()

    async def run(self) -> None:
        """Maintain the leases until closed; the end of the connection then releases them."""
        while not self._closed:
            try:
                server = await self._keeper()
                async with server.connect() as connection:
                    book = LeaseBook(server, connection, self._name)
                    await book.enter()
                    self._renewed = float("-inf")  # renew at once, so that our leases name this connection
                    lender = self._lenders[server.label]
                    boot = await lender.meet(connection)
                    while not self._closed:
                        lender.see_boot(boot)
                        await self._resolve(server, connection)
                        await self._round(book)
                        leading = max(LEADING_SECONDS, len(self._held) / LOOKED_AT_PER_SECOND)
                        await self._pause(LOOK_SECONDS if self._lead.keys() - self._held.keys() else leading)
            except SnkError as error:
                self._tell(error)
                await self._pause(RETRY_SECONDS)

    def retire(self) -> None:
        """Take no more leases."""
        self._retired = True

    def close(self) -> None:
        """Make `run` end soon."""
        self._closed = True
        self._look_now.set()

    async def _keeper(self) -> Server:
        """Return the database that stores the leases; all daemons agree on it, whichever they call first."""
        identities: list[str] = []
        try:
            for server in self._servers:
                async with server.connect() as connection:
                    identities.append((await catalog.server_facts(connection)).identity)
        except SnkError as error:
            if self._home is None:
                raise
            log.debug("lease_keeper_assumed", keeper=self._home.label, error=str(error))
        else:
            self._home = self._servers[0] if identities[0] <= identities[1] else self._servers[1]
        return self._home

    async def _resolve(self, server: Server, connection: AsyncConnection) -> None:
        """Look up full names: leases use them, so daemons agree whatever name their settings use for a table."""
        missing = self._lead.keys() - self._full_names.keys()
        if not missing:
            return
        async with server.answering(connection):
            found = await catalog.full_names(connection, list(missing))
        self._full_names |= found
        for table in missing - found.keys():
            self._seen(table, "", TableUnfit(f"{server.label}: there is no table {table}"))

    async def _round(self, book: LeaseBook) -> None:
        await self._release(book)
        await self._renew(book)
        for table in self._full_names.keys() - self._lead.keys() - self._held.keys():
            del self._full_names[table]
        leases = await book.look(self._full_names.values())
        free: dict[str, LeaseState] = {}
        for table, name in self._full_names.items():
            lease = leases[name]
            if held := self._held.get(table):
                self._see(held, lease)
            elif table not in self._lead:
                continue  # it was dismissed meanwhile
            elif not self._retired and lease.free and lease.wanted_by in ("", self._name):
                free[table] = lease
            else:
                self._seen(table, "" if lease.free else lease.holder, None)
        if free:
            await self._take(book, free)
        if not self._retired and (wanted := self._fair_request(leases)):
            await book.ask_for(wanted)
        self._reminder.over()

    async def _release(self, book: LeaseBook) -> None:
        while self._let_go:
            held = self._let_go[0]
            await book.release(self._full_names[held.table], held.epoch)
            self._beaten_by[held.table] = held.beaten_by
            self._held.pop(held.table, None)
            self._let_go.pop(0)
            log.info("lease_ended", table=held.table, epoch=held.epoch)

    async def _renew(self, book: LeaseBook) -> None:
        if self._held and time.monotonic() - self._renewed > RENEW_SECONDS:
            await book.renew({self._full_names[table]: held.epoch for table, held in self._held.items()})
            self._renewed = time.monotonic()

    def _see(self, held: HeldLease, lease: LeaseState) -> None:
        """Check whether a lease is still ours, and whether another daemon requests it."""
        if (lease.holder, lease.epoch) != (self._name, held.epoch):
            if not held.lost.is_set():
                log.warning("lease_lost", table=held.table, epoch=held.epoch)
                held.lose()
        elif lease.wanted_by not in ("", self._name):
            held.asked.set()

    async def _take(self, book: LeaseBook, free: dict[str, LeaseState]) -> None:
        epochs = {table: max(lease.epoch, self._beaten_by.get(table, 0)) + 1 for table, lease in free.items()}
        taken = await book.take({lease.table: (lease.epoch, epochs[table]) for table, lease in free.items()})
        for table, lease in free.items():
            if lease.table in taken:
                log.info("lease_taken", table=table, epoch=epochs[table], before=lease.holder)
                self._held[table] = HeldLease(table, epochs[table], self._name)
                if lead := self._lead.get(table):
                    lead.put_nowait(self._held[table])
                else:
                    self._let_go.append(self._held[table])  # it was dismissed meanwhile

    def _fair_request(self, leases: dict[str, LeaseState]) -> str:
        """Return a table to request from the busiest daemon, or an empty string if none has two more than this one.

        Only tables in this daemon's settings count: another daemon's settings may name more, which only it can work on.
        """
        leases = {name: leases[name] for name in self._full_names.values()}
        held = Counter(lease.holder for lease in leases.values() if not lease.free)
        busiest, most = max(held.items(), key=lambda entry: entry[1], default=("", 0))
        if busiest == self._name or most < held[self._name] + 2:
            return ""
        return next(name for name, lease in leases.items() if lease.holder == busiest and not lease.free)

    def _tell(self, error: SnkError) -> None:
        for table in self._lead.keys() - self._held.keys():
            self._seen(table, "", error)
        if self._reminder.due(str(error)):
            log.warning("leases_unreachable", error=str(error))

    async def _pause(self, seconds: float) -> None:
        """Wait, or return at once if there is something to do."""
        try:
            async with asyncio.timeout(seconds):
                await self._look_now.wait()
        except TimeoutError:
            return
        self._look_now.clear()
