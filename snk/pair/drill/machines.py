"""Faults of processes, servers and the network."""

import asyncio
from typing import Literal

from snk.embedded.postgres import PostgresServer
from snk.pair.drill.fault import Fault, network_of
from snk.pair.drill.stage import NotSeen, Stage, until

YOURS = "the drill does not stop servers of yours"


class KillDaemon(Fault):
    """No daemon is left running."""

    name = "kill-daemon"
    sentence = "SIGKILL of the working daemon; another is started later"

    async def inflict(self, stage: Stage) -> str:
        """Kill every daemon."""
        await stage.leader()
        killed = list(stage.daemons)
        for daemon in killed:
            stage.kill(daemon)
        if any(daemon.child.exit_code != -9 for daemon in killed):  # noqa: PLR2004 - SIGKILL
            raise NotSeen("the daemon did not die by SIGKILL")
        return f"process {', '.join(str(daemon.child.pid) for daemon in killed)} died at once"

    async def heal(self, stage: Stage) -> str:
        """Start another daemon."""
        stage.start_daemon()
        return ""


class DropRedis(Fault):
    """What is known about echoes is lost, except for the daemon's own memory."""

    name = "drop-redis"
    sentence = "Redis is killed with all it held, and comes back empty"

    def impossible(self, stage: Stage) -> str:
        """With a configured pair, Redis is cut off instead of killed, if it has a proxy."""
        if stage.place.pair:
            return ""
        return "" if "redis" in stage.network else "there is no plain redis:// URL to put a proxy before"

    async def inflict(self, stage: Stage) -> str:
        """Kill it, and wait for the daemon to report it."""
        if not stage.place.pair:
            await self._known(stage, there=True)
            stage.network["redis"].cut()
        else:
            stage.place.pair.redis.kill()
        await self._known(stage, there=False)
        return "the daemon said so and went on without"

    async def heal(self, stage: Stage) -> str:
        """Bring it back."""
        if stage.place.pair:
            stage.place.pair.redis.start()
        else:
            stage.network["redis"].release()
        await self._known(stage, there=True)
        return "found again"

    async def _known(self, stage: Stage, *, there: bool) -> None:
        leader = await stage.leader()

        async def so() -> bool:
            status = await leader.status()
            return status is not None and status.dedup.redis is there

        await until(so, f"the daemon says that Redis is {'there' if there else 'away'}")


class CrashServer(Fault):
    """Everything that was not flushed to disk is lost, and so is every connection."""

    def __init__(self, label: Literal["first", "second"]) -> None:
        self.name = f"crash-{label}"
        self.sentence = f"immediate shutdown of the {label} server, as by a crash, and a restart"
        self._label = label

    def impossible(self, stage: Stage) -> str:
        """The drill crashes only its own servers."""
        return "" if stage.place.pair else YOURS

    async def inflict(self, stage: Stage) -> str:
        """Crash it, and wait for the daemon to notice."""
        await asyncio.to_thread(self._server(stage).stop, "immediate")
        await stage.until_disturbed()
        return "every connection to it broke; what it had not committed is gone"

    async def heal(self, stage: Stage) -> str:
        """Start it; it recovers from its WAL."""
        server = self._server(stage)
        server.launch()  # from this thread: the server ends when the thread that started it ends
        await asyncio.to_thread(server.wait_until_ready)
        return "it recovered"

    def _server(self, stage: Stage) -> PostgresServer:
        if not stage.place.pair:
            raise NotSeen(YOURS)
        server: PostgresServer = getattr(stage.place.pair, self._label)
        return server


class NetworkFault(Fault):
    """A fault of the network to both servers."""

    def impossible(self, stage: Stage) -> str:
        """Both servers need a proxy in front of them."""
        return network_of(stage)

    async def heal(self, stage: Stage) -> str:
        """Let bytes and connections pass again; held bytes are delivered."""
        for side in stage.place.sides:
            stage.network[side.label].release()
        return ""


class CutNetwork(NetworkFault):
    """Connections are reset at any point of a conversation, and new ones fail."""

    name = "cut-network"
    sentence = "the daemon's connections to both servers are reset, new ones too"

    async def inflict(self, stage: Stage) -> str:
        """Cut both sides at once."""
        proxies = [stage.network[side.label] for side in stage.place.sides]
        before = [proxy.cut_connections for proxy in proxies]
        for proxy in proxies:
            proxy.cut()
        cut = [proxy.cut_connections - count for proxy, count in zip(proxies, before, strict=True)]
        if not all(cut):
            raise NotSeen("there was no connection to cut")
        await stage.until_disturbed()
        return f"{sum(cut)} connections reset"


class SilentNetwork(NetworkFault):
    """Half-open connections: neither end is notified, and nothing arrives."""

    name = "silent-network"
    sentence = "the network to both servers goes silent: connections stay open, nothing arrives"

    async def inflict(self, stage: Stage) -> str:
        """Hold what is sent, and check that something was held."""
        proxies = [stage.network[side.label] for side in stage.place.sides]
        before = [proxy.held_bytes for proxy in proxies]
        for proxy in proxies:
            proxy.hold()

        async def held() -> bool:
            return all(proxy.held_bytes > count for proxy, count in zip(proxies, before, strict=True))

        await until(held, "something is sent into the silence on both sides")
        return "bytes went out on both sides and got no answer"
