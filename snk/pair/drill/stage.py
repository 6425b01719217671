"""What the faults act on: two servers, the network in front of them, and daemons as separate processes.

The drill's writers and books connect to the servers directly, so what they know does not depend on that network.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from snk.db.server import Server
from snk.embedded.process import Child, free_port
from snk.embedded.proxy import Proxy
from snk.pair.core.report import DaemonStatus, FlowState
from snk.pair.drill.load import Load
from snk.pair.drill.watch import CanaryWatch
from snk.pair.programs import daemon_logging_to
from snk.pair.servers import EmbeddedPair
from snk.pair.status.ask import ask, daemon_url

LOOK_SECONDS = 0.05
WAIT_SECONDS = 60.0
STOP_SECONDS = 30.0
PORTS = {"postgresql": 5432, "postgres": 5432, "redis": 6379}

Found = TypeVar("Found")


class NotSeen(Exception):  # noqa: N818 - it names what was expected
    """An effect that a fault, or its end, should cause did not occur in time."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the drill takes place.

    Attributes:
        first: database A, as the drill's own writers and books reach it.
        second: database B.
        redis_dsn: the Redis of the daemons.
        pair: the servers, if they belong to the drill and may be crashed; None for a configured pair.
        folder: for the daemons' logs.
        environment: of the daemons; the addresses of the servers are added to it.
    """

    first: Server
    second: Server
    redis_dsn: str
    pair: EmbeddedPair | None
    folder: Path
    environment: Mapping[str, str]

    @property
    def sides(self) -> tuple[Server, Server]:
        """Both databases."""
        return self.first, self.second


@dataclass(frozen=True, slots=True)
class Daemon:
    """One daemon, and the address of its status."""

    child: Child
    url: str

    async def status(self) -> DaemonStatus | None:
        """The daemon's status, or None if it does not answer."""
        try:
            return await asyncio.to_thread(ask, self.url)
        except (OSError, HTTPException):
            return None

    async def states(self) -> set[FlowState]:
        """The states of its flows; empty if it does not answer."""
        status = await self.status()
        return {flow.state for flow in status.flows} if status else set()


@dataclass(slots=True)
class Stage:
    """The place, with everything that runs on it.

    Attributes:
        network: a proxy for each server that can have one, by its label: ``first``, ``second``, ``redis``.
        daemons: those that were started and not killed, the oldest first.
        cleanup: ends what a fault holds open if the drill is interrupted.
    """

    place: Place
    load: Load
    watch: CanaryWatch
    network: dict[str, Proxy] = field(default_factory=dict)
    daemons: list[Daemon] = field(default_factory=list)
    cleanup: AsyncExitStack = field(default_factory=AsyncExitStack)
    _started: int = 0

    async def open_network(self) -> None:
        """Put a proxy in front of every server that can have one."""
        dsns = {**{side.label: side.dsn for side in self.place.sides}, "redis": self.place.redis_dsn}
        for label, dsn in dsns.items():
            if target := address_of(dsn):
                self.network[label] = await self.cleanup.enter_async_context(Proxy(*target))

    def start_daemon(self) -> Daemon:
        """Start one more daemon; it stands by if another works."""
        self._started += 1
        port = free_port()
        values = {
            **self.place.environment,
            "FIRST_DB_URL": self._through("first", self.place.first.dsn),
            "SECOND_DB_URL": self._through("second", self.place.second.dsn),
            "REDIS_URL": self._through("redis", self.place.redis_dsn),
            "SNK_HTTP_HOST": "127.0.0.1",
            "SNK_HTTP_PORT": str(port),
        }
        # If the drill is killed while a daemon is stopped, that daemon would never receive SIGTERM.
        child = daemon_logging_to(self.place.folder / f"daemon-{self._started}.log", values, signal.SIGKILL)
        daemon = Daemon(child, daemon_url("127.0.0.1", port))
        self.daemons.append(daemon)
        return daemon

    def kill(self, daemon: Daemon) -> None:
        """Send SIGKILL, whatever the daemon is doing."""
        daemon.child.kill()
        self.daemons.remove(daemon)

    async def end_daemons(self) -> None:
        """Ask all daemons to stop; kill those that do not."""
        await asyncio.gather(*(asyncio.to_thread(d.child.end, signal.SIGTERM, STOP_SECONDS) for d in self.daemons))
        self.daemons.clear()

    async def leader(self) -> Daemon:
        """The daemon whose flows run in both directions; waits until there is one.

        Raises:
            NotSeen: there is none in time, or all daemons have ended.
        """

        async def running() -> Daemon | None:
            if not any(daemon.child.running for daemon in self.daemons):
                raise NotSeen("every daemon has ended")
            found = [daemon for daemon in self.daemons if await daemon.states() == {"running"}]
            return found[0] if found else None

        return await until(running, "rows flow both ways again")

    async def leader_and_standby(self) -> tuple[Daemon, Daemon]:
        """One daemon that works and one that stands by; starts a second one if necessary."""
        if len(self.daemons) < 2:  # noqa: PLR2004 - a pair
            self.start_daemon()
        leader = await self.leader()
        (other,) = (daemon for daemon in self.daemons if daemon is not leader)

        async def standing_by() -> bool:
            return await other.states() == {"standby"}

        await until(standing_by, "the second daemon stands by")
        return leader, other

    async def until_disturbed(self) -> None:
        """Wait until the daemon reports that rows no longer flow."""

        async def disturbed() -> bool:
            return not any([await daemon.states() == {"running"} for daemon in self.daemons])

        await until(disturbed, "the daemon notices")

    async def restore(self) -> None:
        """After a fault that did not heal, restart everything that runs, so that the next fault starts fairly."""
        for proxy in self.network.values():
            proxy.release()
        await self.end_daemons()
        if self.place.pair:
            self.place.pair.redis.start()
            for server in (self.place.pair.first, self.place.pair.second):
                server.launch()
                await asyncio.to_thread(server.wait_until_ready)
        self.start_daemon()

    async def last_words(self) -> str:
        """The status of the daemons, and the end of their logs."""
        words: list[str] = []
        for daemon in self.daemons:
            status = await daemon.status()
            words.append("; ".join(status.troubles) if status else "the daemon does not answer")
            words.append(f"{daemon.child.log.name} ends with:\n{daemon.child.last_lines()}")
        return "\n".join(word for word in words if word) or "no daemon runs"

    def _through(self, label: str, dsn: str) -> str:
        """The URL by which a daemon reaches a server: through the proxy, if there is one."""
        proxy = self.network.get(label)
        return _moved(urlsplit(dsn), proxy.port).geturl() if proxy else dsn


def address_of(dsn: str) -> tuple[str, int] | None:
    """Host and port of a server that a proxy can stand in front of, or None.

    None if the URL names several hosts, or none, or requires that the server's certificate matches the host name.
    """
    parts = urlsplit(dsn)
    elsewhere = any(word in parts.query for word in ("host=", "hostaddr=", "port=", "verify-full"))
    if parts.scheme not in PORTS or not parts.hostname or "," in parts.netloc or elsewhere:
        return None
    return parts.hostname, parts.port or PORTS[parts.scheme]


def _moved(parts: SplitResult, port: int) -> SplitResult:
    user, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}127.0.0.1:{port}")


async def until(look: Callable[[], Awaitable[Found | None]], what: str, seconds: float = WAIT_SECONDS) -> Found:
    """Wait until a look returns a true value, and return that value.

    Raises:
        NotSeen: it did not, in time; names what was expected.
    """
    deadline = time.monotonic() + seconds
    while not (found := await look()):
        if time.monotonic() > deadline:
            raise NotSeen(f"waited {seconds:.0f} s in vain until {what}")
        await asyncio.sleep(LOOK_SECONDS)
    return found
