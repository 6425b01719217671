"""The cost of a sweep: compared with `snk verify` on the same tables, beside other work, and under TST.

    python -m bench.sweep [ROWS] [TST_ROWS]

Fills a pair with this many equal rows. Prints the seconds and CPU seconds (of this process, and of the whole machine
meanwhile) of a comparison and of sweeps at two shares of a processor; the delay of a row that is inserted and read,
while nothing else happens and beside a sweep. Then it sweeps the pair while the daemon keeps it equal under TST.
"""

import asyncio
import statistics
import sys
import time
import uuid
from collections.abc import Awaitable
from pathlib import Path

import sqlalchemy as sa
import uvloop

from bench.ground import fill, ground
from snk.cli.inherited import settle
from snk.db.server import Server
from snk.embedded.process import free_port
from snk.pair.programs import environment, start_daemon
from snk.pair.schema.own import Record
from snk.pair.servers import EmbeddedPair
from snk.pair.sync.prepare import prepare
from snk.pair.table.count import count_rows
from snk.pair.verify.compare import Comparison, compare
from snk.pair.verify.sweep import Swept, sweep
from snk.pair.verify.throttle import throttles_of

SHARES = (1.0, 0.2)
ALONE_SECONDS = 5.0


async def main(pair: EmbeddedPair, rows: int, tst_rows: int) -> None:
    """Run the measurements."""
    first, second = Server("first", pair.first.dsn), Server("second", pair.second.dsn)
    for side in (first, second):
        await prepare(side, ("records",))
    await fill(first, rows, at_once=rows)
    values = environment(pair, free_port())
    daemon = start_daemon(pair, values)
    while await count_rows(second, "records") < rows:
        await asyncio.sleep(0.1)
    try:
        await show("compare", compare(first, second, "records"))
        for share in SHARES:
            await show(f"sweep, share {share}", sweep(first, second, "records", throttles=throttles_of(share)))
        print("insert and read, alone:        ", await delays(first, asyncio.sleep(ALONE_SECONDS)))
        for share in SHARES:
            beside = sweep(first, second, "records", throttles=throttles_of(share))
            print(f"insert and read, share {share}:   ", await delays(first, beside))
        command = [sys.executable, "-m", "tst", "--quiet", "--rows", str(tst_rows)]
        load = await asyncio.create_subprocess_exec(*command, env=values)
        while load.returncode is None:
            await show("sweep, share 0.2, under TST", sweep(first, second, "records", throttles=throttles_of(0.2)))
    finally:
        daemon.end(15, 10)


async def show(what: str, measured: Awaitable[Comparison | Swept]) -> None:
    """Run a comparison or a sweep, and print its cost."""
    servers, own = machine_seconds(), time.process_time()
    result = await measured
    own, servers = time.process_time() - own, machine_seconds() - servers
    found = len(result.only_in_first) + len(result.only_in_second) + len(result.different)
    print(f"{what}: {result.seconds:.2f} s, CPU {own:.2f} s here, {servers:.2f} s on the machine, {found} differences")


def machine_seconds() -> float:
    """CPU seconds that all processes on this machine have used, including those that have ended."""
    user, nice, system = (int(ticks) for ticks in Path("/proc/stat").read_text().split()[1:4])
    return (user + nice + system) / 100


async def delays(side: Server, beside: Awaitable[object]) -> str:
    """Milliseconds to insert a row and read it, measured until the other task ends."""
    found: list[float] = []
    other = asyncio.ensure_future(beside)
    async with side.connect() as connection:
        while not other.done():
            name, began = uuid.uuid4(), time.perf_counter()
            await connection.execute(sa.insert(Record).values(uuid=name, data="x"))
            await connection.execute(sa.select(Record.id).where(Record.uuid == name))
            found.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.01)
    await other
    found.sort()
    p50, p90, p99 = statistics.median(found), found[len(found) * 9 // 10], found[len(found) * 99 // 100]
    return f"p50 {p50:.1f}  p90 {p90:.1f}  p99 {p99:.1f} ms"


if __name__ == "__main__":
    settle()
    given = [int(text) for text in sys.argv[1:]]
    with ground() as fresh:
        uvloop.run(main(fresh.pair, *given, *(1_000_000, 1_000_000)[len(given) :]))
