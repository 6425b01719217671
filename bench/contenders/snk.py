"""SNK with default settings."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from bench.contenders.contender import Program
from bench.ground import Ground
from snk.pair.programs import start_daemon
from snk.pair.status.ask import ask, daemon_url
from snk.pair.sync.facts import TableFacts
from snk.pair.sync.link import lender_of, linked
from snk.pair.sync.prepare import prepare
from snk.pair.table.marks import MarkState

LAG_SECONDS = 1.0


class Snk(Program):
    """``snk run --init`` with default settings.

    Attributes:
        log: its log file.
    """

    name = "snk"

    async def adopt(self, ground: Ground, tables: Sequence[str]) -> None:
        """Store the marks that SNK would have after copying all rows."""
        for side in ground.sides:
            await prepare(side, ())
        both = [TableFacts(lender_of(side, 1)) for side in ground.sides]
        for source, destination in (both, both[::-1]):
            for table in tables:
                link = await linked(source, destination, table)
                access, ends = link.destination.access, link.source
                greatest = (await source.bounds(ends.access, ends.reader.ids))[1] or 0
                mark = MarkState(high=greatest, safe=greatest, source=ends.facts.identity, boot=ends.facts.boot)
                await destination.create(access, link.destination.writer.table_name, mark)
        for facts in both:
            await facts.close()
            await facts.lender.close()

    async def start(self, ground: Ground, tables: Sequence[str]) -> None:
        """Start the daemon and wait until it is healthy and has caught up."""
        values = {**ground.values, "SNK_TABLES": ",".join(tables)}
        self.log: Path = ground.pair.state / "daemon.log"
        self.child = start_daemon(ground.pair, values)
        url = daemon_url("127.0.0.1", int(values["SNK_HTTP_PORT"]))
        while True:
            await asyncio.sleep(0.1)
            try:
                status = await asyncio.to_thread(ask, url)
            except OSError:
                if not self.child.running:
                    raise
            else:
                if status.healthy and all(flow.lag_seconds < LAG_SECONDS for flow in status.flows):
                    return
