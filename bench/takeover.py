"""How soon a second daemon takes over: from the kill or pause of the active one to the first row delivered.

    python -m bench.takeover [TIMES]

Prints the median, the 95th percentile and the maximum, in seconds, of TIMES kills (SIGKILL) and pauses (SIGSTOP) of the
daemon that has the lease. Afterwards both sides are compared.
"""

import asyncio
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path

import sqlalchemy as sa
import uvloop

from snk.cli.inherited import settle
from snk.db.server import Server
from snk.embedded.process import free_port
from snk.pair.programs import environment
from snk.pair.schema.own import Record
from snk.pair.servers import EmbeddedPair, embedded_pair
from snk.pair.sync.prepare import prepare
from snk.pair.verify.compare import compare


class Daemon:
    """One of the two daemons."""

    def __init__(self, pair: EmbeddedPair) -> None:
        self._port = free_port()
        self._values = environment(pair, self._port)
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "snk", "run"]
        return subprocess.Popen(command, env=self._values, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def states(self) -> set[str]:
        """The states of its flows; none while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/status", timeout=1) as answer:
                return {flow["state"] for flow in json.load(answer)["flows"]}
        except OSError:
            return set()

    def strike(self, how: signal.Signals) -> None:
        """Kill or pause the daemon."""
        self._process.send_signal(how)

    def mend(self, how: signal.Signals) -> None:
        """Restart or wake the daemon."""
        if how == signal.SIGSTOP:
            self._process.send_signal(signal.SIGCONT)
        else:
            self._process.wait()
            self._process = self._start()

    def end(self) -> None:
        """Stop the daemon."""
        self._process.terminate()
        self._process.wait()


async def main(pair: EmbeddedPair, times: int) -> None:
    """Kill or pause the leader repeatedly."""
    sides = (Server("first", pair.first.dsn), Server("second", pair.second.dsn))
    for side in sides:
        await prepare(side, ("records",))
    daemons = [Daemon(pair), Daemon(pair)]
    try:
        for how in (signal.SIGKILL, signal.SIGSTOP):
            delays = []
            for _ in range(times):
                leader = await settled(daemons)
                leader.strike(how)
                delays.append(await delay(*sides))
                leader.mend(how)
            delays.sort()
            p95 = delays[min(times - 1, int(times * 0.95))]
            print(f"{how.name}: median {statistics.median(delays):.2f}  p95 {p95:.2f}  longest {delays[-1]:.2f} s")
        result = await compare(*sides, "records")
        print(f"{result.rows.first} and {result.rows.second} rows, {'equal' if result.equal else 'DIFFERENT'}")
    finally:
        for daemon in daemons:
            daemon.end()


async def settled(daemons: list[Daemon]) -> Daemon:
    """The daemon that works, once the other one stands by."""
    while True:
        states = [daemon.states for daemon in daemons]
        if {"running"} in states and {"standby"} in states:
            return daemons[states.index({"running"})]
        await asyncio.sleep(0.1)


async def delay(source: Server, destination: Server) -> float:
    """Seconds until a row that is inserted now is visible on the other side."""
    name = uuid.uuid4()
    async with source.connect() as here, destination.connect() as there:
        await here.execute(sa.insert(Record).values(uuid=name, data="x"))
        began = time.monotonic()
        while not (await there.execute(sa.select(sa.exists().where(Record.uuid == name)))).scalar_one():
            await asyncio.sleep(0.01)
        return time.monotonic() - began


if __name__ == "__main__":
    settle()
    with tempfile.TemporaryDirectory(prefix="snk-bench-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        with embedded_pair(Path(made) / "pair", user="postgres", password="postgres") as servers:  # noqa: S106 - a demo
            uvloop.run(main(servers, int(sys.argv[1]) if len(sys.argv) > 1 else 20))
