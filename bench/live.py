"""How fast TST is under SNK, against TST with nobody syncing: the two in turn, on fresh servers, several rounds.

    python bench/live.py [ROUNDS] [ROWS]

Prints a line per round and the medians: rows per second alone and under SNK, their ratio, the share of rows that was
on both sides when TST stopped, the seconds until all were, and what the daemon used.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from snk.db.engine import Server
from snk.db.rows import count_rows
from snk.embedded.pair import EmbeddedPair, embedded_pair
from snk.embedded.process import free_port
from snk.embedded.programs import environment, start_daemon
from snk.sync.prepare import prepare

WARM_UP_SECONDS = 2.0


def main(rounds: int, rows: int) -> None:
    """Run the rounds and print their medians."""
    results: list[dict[str, float]] = []
    for number in range(1, rounds + 1):
        alone = on_fresh_servers(rows, sync=False)["rows_per_second"]
        under = on_fresh_servers(rows, sync=True)
        result = {"alone": alone, **under, "ratio": under["rows_per_second"] / alone}
        results.append(result)
        print(f"round {number}:", show(result), flush=True)
    print("median: ", show({key: statistics.median(result[key] for result in results) for key in results[0]}))


def on_fresh_servers(rows: int, *, sync: bool) -> dict[str, float]:
    """One run of TST on servers of its own, with or without the daemon."""
    with tempfile.TemporaryDirectory(prefix="snk-bench-") as folder:
        Path(folder).chmod(0o755)
        with embedded_pair(Path(folder), user="postgres", password="postgres") as pair:  # noqa: S106 - a demo
            return asyncio.run(one_run(pair, rows, sync=sync))


async def one_run(pair: EmbeddedPair, rows: int, *, sync: bool) -> dict[str, float]:
    """TST for so many rows, then how long until both sides hold them all."""
    sides = (Server("first", pair.first.dsn), Server("second", pair.second.dsn))
    for side in sides:
        await prepare(side, ("records",))
    values = environment(pair, free_port())
    daemon = start_daemon(pair, values) if sync else None
    await asyncio.sleep(WARM_UP_SECONDS)
    command = [sys.executable, "-m", "tst", "--quiet", "--rows", str(rows)]
    running = await asyncio.create_subprocess_exec(*command, env=values, stdout=asyncio.subprocess.PIPE)
    printed = (await running.communicate())[0].decode()
    stopped = time.monotonic()
    figures = {"rows_per_second": float(printed.split(",")[1].split()[0])}
    if daemon is None:
        return figures
    counts = [await count_rows(side, "records") for side in sides]
    figures["percent_at_stop"] = 100 * min(counts) / rows
    while min(counts) < rows:
        counts = [await count_rows(side, "records") for side in sides]
    figures["all_after_seconds"] = time.monotonic() - stopped
    figures |= used(daemon.pid)
    daemon.end(15, 10)
    return figures


def used(pid: int) -> dict[str, float]:
    """CPU seconds and peak memory of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    peak = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return {"daemon_cpu_seconds": cpu, "daemon_peak_mib": int(peak.split()[1]) / 1024}


def show(result: dict[str, float]) -> str:
    """The figures in one line."""
    return json.dumps({key: round(value, 3 if value < 1000 else None) for key, value in result.items()})  # noqa: PLR2004


def _arguments() -> tuple[Any, Any]:
    given = [int(text) for text in sys.argv[1:]]
    return (*given, *(5, 500_000)[len(given) :])


if __name__ == "__main__":
    main(*_arguments())
