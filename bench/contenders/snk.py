"""SNK, as anybody runs it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from bench.contenders.contender import Program
from bench.ground import Ground
from snk.embedded.programs import start_daemon
from snk.status.ask import ask, daemon_url


class Snk(Program):
    """``snk run --init`` with default settings.

    Attributes:
        log: what it says.
    """

    name = "snk"

    async def start(self, ground: Ground, tables: Sequence[str]) -> None:
        """Start the daemon and wait until it is healthy."""
        values = {**ground.values, "SNK_TABLES": ",".join(tables)}
        self.log: Path = ground.pair.state / "daemon.log"
        self.child = start_daemon(ground.pair, values)
        url = daemon_url("127.0.0.1", int(values["SNK_HTTP_PORT"]))
        while True:
            await asyncio.sleep(0.1)
            try:
                if (await asyncio.to_thread(ask, url))["healthy"]:
                    return
            except OSError:
                if not self.child.running:
                    raise
