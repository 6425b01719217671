"""A node as a service: it works, hears messages, and answers requests until it is told to stop."""

import asyncio
import socket
from dataclasses import dataclass

import structlog

from snk.batch.platform.api.application import application
from snk.batch.platform.api.desk import Desk
from snk.batch.platform.api.pages import Seen, add_pages
from snk.batch.platform.channel import Channel
from snk.batch.platform.node import Node
from snk.batch.platform.portal.site import beside
from snk.batch.platform.sender import Sender
from snk.batch.platform.tables import TABLES
from snk.batch.scopes import OPERATE, READ
from snk.db.awaited import awaited
from snk.db.pool import Pool
from snk.db.server import Server
from snk.http.api.counts import Answers
from snk.http.api.entry import Entry, Rates
from snk.http.api.gate import MOST_HEAD_BYTES, Gate
from snk.http.api.protocol import IDLE_SECONDS, kept_protocol
from snk.http.auth.authority import Authority
from snk.http.auth.settings import AuthSettings
from snk.http.door import Door
from snk.http.notify import Health, keep_informed
from snk.http.portal.clients import ClientDoor, Scopes
from snk.http.service import Manners, serve_open

CONNECTIONS = 10
WAIT_SECONDS = 1.0
"""How long a request waits for a connection to the database."""
GRACE_SECONDS = 3
"""How long requests and notices that are under way may take when the node is told to stop."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Front:
    """How requests are taken.

    Attributes:
        host: the name of this machine in the settings.
        auth: who may use the API.
        body_bytes_max: the longest body.
        requests_per_second: of one client; 0 is no limit.
        clients: connections of clients at once.
        docs: whether the API describes itself.
    """

    host: str
    auth: AuthSettings
    body_bytes_max: int
    requests_per_second: float
    clients: int
    docs: bool


class Service:
    """A node with its API.

    Args:
        node: the node.
        most_calls: how many consumers it calls at once.
        dsn: the URL of the platform's database.
        front: how requests are taken.
        sender: sends alerts.
    """

    def __init__(self, node: Node, most_calls: int, dsn: str, front: Front, sender: Sender) -> None:
        self._node = node
        self._sender = sender
        self._most_calls = most_calls
        self._server = Server("database", dsn)
        # Of its own, so that requests take no connection from the node, and the node none from them.
        self._pool = Pool(dsn, CONNECTIONS, WAIT_SECONDS, "snk batch")
        self._front = front
        self._authority = Authority(front.auth)
        self._answers = Answers()
        self._ready = False

    async def run(self, bound: socket.socket, stop: asyncio.Event) -> None:
        """Work and serve on a bound socket until ``stop`` is set.

        Raises:
            DatabaseUnfit: the database refuses SNK, or its tables are of another version.
        """
        informing = asyncio.create_task(keep_informed(stop, lambda: self._ready, self._health))
        try:
            if await awaited(stop, self._prepare, "the node has not begun"):
                await self._work(bound, stop)
        finally:
            stop.set()
            await informing
            await self._authority.close()
            await self._sender.close()
            await self._pool.close()

    async def _prepare(self) -> bool:
        async with self._server.connect() as connection:
            await TABLES.check(connection, self._server.address)
        await self._sender.announce()
        return True

    async def _work(self, bound: socket.socket, stop: asyncio.Event) -> None:
        front = self._front
        desk = Desk(self._pool, self._node.hurry)
        entry = Entry(self._authority, Rates(front.requests_per_second))
        app = application(desk, entry, docs=front.docs, closed=front.auth.closed)
        add_pages(app, desk, entry, self._seen)
        door = None if front.auth.closed else Door(None, front.host)
        clients = ClientDoor(
            self._authority, Scopes(READ, OPERATE), guarded=front.auth.closed, users=bool(front.auth.users)
        )
        both = beside(app, desk, self._node.name, clients, stop)
        gate = Gate(both, "batch", front.body_bytes_max, door, self._answers)
        manners = Manners(kept_protocol(front.clients), MOST_HEAD_BYTES, IDLE_SECONDS, GRACE_SECONDS)
        channel = Channel(self._server, self._pool, self._node.hurry)
        async with asyncio.TaskGroup() as group:
            group.create_task(serve_open(gate, bound, stop, manners))
            group.create_task(channel.run(stop))
            sending = group.create_task(self._sender.run(stop))
            group.create_task(self._node.run(stop))
            self._ready = True
            await stop.wait()
            await asyncio.wait((sending,), timeout=GRACE_SECONDS)
            if sending.cancel():
                log.warning("notices_broken_off", effect="they are sent again in two minutes")

    def _seen(self) -> Seen:
        return Seen(self._node.name, len(self._node.held), self._most_calls, self._answers)

    def _health(self) -> Health:
        return Health(f"{len(self._node.held):,} calls under way", progressing=True)
