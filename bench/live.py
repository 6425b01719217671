"""How fast TST is under SNK, against TST with nobody syncing.

    python bench/live.py [ROUNDS] [ROWS]

Two pairs of servers live side by side, one with the daemon and one without; TST loads them in turn, so that a machine
that is slow for a while is slow for both. Each pair is loaded and checkpointed once before it counts, as a pair is that
has run for some minutes. Prints a line per round and the medians: rows per second alone and under SNK, their ratio, the
share of the round's rows that was on both sides when TST stopped, the seconds until all were, and what the daemon used.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from snk.db.engine import Server
from snk.db.rows import count_rows
from snk.embedded.pair import EmbeddedPair, embedded_pair
from snk.embedded.process import Child, free_port
from snk.embedded.programs import environment, start_daemon
from snk.sync.prepare import prepare

WARM_UP_SECONDS = 2.0
WARM_UP_ROWS = 300_000
# Room for the log of all rounds, and no checkpoint in the middle of one.
OPTIONS = {"min_wal_size": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "1h"}


class Loaded:
    """A pair of servers that TST loads."""

    def __init__(self, pair: EmbeddedPair) -> None:
        self.sides = (Server("first", pair.first.dsn), Server("second", pair.second.dsn))
        self._pair = pair
        self._values = environment(pair, free_port())
        self._rows = 0

    def start_daemon(self) -> Child:
        """Have the pair synced."""
        return start_daemon(self._pair, self._values)

    async def warm_up(self) -> None:
        """Make the tables, and load them for the first time."""
        for side in self.sides:
            await prepare(side, ("records",))
        await self.load(WARM_UP_ROWS)
        await asyncio.sleep(WARM_UP_SECONDS)
        for side in self.sides:
            async with side.connect() as connection:
                await connection.execute(sa.text("checkpoint"))

    async def load(self, rows: int) -> float:
        """Rows per second of TST, as it says itself."""
        command = [sys.executable, "-m", "tst", "--quiet", "--rows", str(rows)]
        running = await asyncio.create_subprocess_exec(*command, env=self._values, stdout=asyncio.subprocess.PIPE)
        printed = (await running.communicate())[0].decode()
        self._rows += rows
        return float(printed.split(",")[1].split()[0])

    async def missing(self) -> int:
        """Rows that one side or the other still lacks."""
        return self._rows - min(await asyncio.gather(*(count_rows(side, "records") for side in self.sides)))


def main(rounds: int, rows: int) -> None:
    """Run the rounds and print their medians."""
    with servers() as alone, servers() as synced:
        asyncio.run(compare(Loaded(alone), Loaded(synced), rounds, rows))


async def compare(alone: Loaded, synced: Loaded, rounds: int, rows: int) -> None:
    """TST on one pair and on the other, in turn."""
    daemon = synced.start_daemon()
    for loaded in (alone, synced):
        await loaded.warm_up()
    results: list[dict[str, float]] = []
    for number in range(1, rounds + 1):
        before = await alone.load(rows)
        under = await one_round(synced, daemon, rows)
        base = (before + await alone.load(rows)) / 2
        results.append({"alone": base, **under, "ratio": under["under_snk"] / base})
        print(f"round {number}:", show(results[-1]), flush=True)
    print("median: ", show({key: statistics.median(result[key] for result in results) for key in results[0]}))
    daemon.end(15, 10)


async def one_round(synced: Loaded, daemon: Child, rows: int) -> dict[str, float]:
    """TST for so many rows under SNK, then how long until both sides hold them all."""
    cpu = used(daemon.pid)["daemon_cpu_seconds"]
    figures = {"under_snk": await synced.load(rows)}
    stopped = time.monotonic()
    missing = await synced.missing()
    figures["percent_at_stop"] = 100 * (1 - missing / rows)
    while missing:
        missing = await synced.missing()
    figures["all_after_seconds"] = time.monotonic() - stopped
    figures |= used(daemon.pid)
    figures["daemon_cpu_seconds"] -= cpu
    return figures


@contextmanager
def servers() -> Iterator[EmbeddedPair]:
    """A fresh pair of servers, with default settings but for the room for their log."""
    with tempfile.TemporaryDirectory(prefix="snk-bench-") as folder:
        Path(folder).chmod(0o755)
        with embedded_pair(Path(folder), user="postgres", password="postgres", options=OPTIONS) as pair:  # noqa: S106 - a demo
            yield pair


def used(pid: int) -> dict[str, float]:
    """CPU seconds and peak memory of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    peak = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return {"daemon_cpu_seconds": cpu, "daemon_peak_mib": int(peak.split()[1]) / 1024}


def show(result: dict[str, float]) -> str:
    """The figures in one line."""
    return json.dumps({key: round(value, 3 if value < 1000 else None) for key, value in result.items()})  # noqa: PLR2004


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    main(*given, *(12, 200_000)[len(given) :])
