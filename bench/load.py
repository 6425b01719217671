"""The cost of large amounts of data: the daemon's memory and speed.

    python -m bench.load [--backlog ROWS] [--table ROWS] [--transaction ROWS] [--holes IDS] [--wide ROWS]
                         [--delays ROWS]

All measurements use one pair of servers, in this order; every line ends with the daemon's peak memory:

* empty: the delay of single rows in an empty table, and the rate of a tenth of the backlog;
* backlog: this many rows wait in one database when the daemon starts; its rate in the first and in the last tenth;
* table: both tables have this many rows; the delay of single rows again, and the rate of another tenth of the backlog;
* transaction: this many rows in one transaction, and the delay of single rows while it is open;
* holes: every other one of this many ids is drawn and never used while an old transaction is open;
* wide: this many rows of 1 MiB on each side, at once.

The daemon is restarted for each measurement, so that each has its own peak.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import sqlalchemy as sa
import uvloop
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.ground import fill, ground
from bench.scenarios.latency import delay
from bench.usage import peak_mib, usage
from snk.cli.inherited import settle
from snk.db.server import Server
from snk.embedded.process import Child, free_port
from snk.pair.programs import environment, start_daemon
from snk.pair.schema.own import Mark, Record
from snk.pair.servers import EmbeddedPair
from snk.pair.sync.prepare import prepare
from snk.pair.table.count import count_rows

MIB = 2**20
FILL_ROWS = 500_000
TENTH = 10


class Bench:
    """A pair of servers, and the number of rows that each must hold."""

    def __init__(self, pair: EmbeddedPair) -> None:
        self.sides = (Server("first", pair.first.dsn, None), Server("second", pair.second.dsn, None))
        self.rows = 0
        self._pair = pair

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[Child]:
        """A daemon for the duration of the block; it first has to find that there is nothing to do."""
        daemon = start_daemon(self._pair, environment(self._pair, free_port()))
        try:
            yield daemon
        finally:
            daemon.end(15, 10)

    async def insert(self, rows: int) -> None:
        """Insert rows into the first database, a number of them at a time."""
        for at in range(0, rows, FILL_ROWS):
            await fill(self.sides[0], min(FILL_ROWS, rows - at), at_once=FILL_ROWS)
        self.rows += rows

    async def delivered(self, rows: int | None = None) -> float:
        """Seconds until the second database holds this many rows, or all of them."""
        began, wanted = time.monotonic(), self.rows if rows is None else rows
        # The mark is cheap to query; the rows are counted only when it has come far enough.
        high = sa.select(sa.func.coalesce(sa.func.max(Mark.high), 0))
        ids = sa.select(sa.func.coalesce(sa.func.max(Record.id), 0))
        async with self.sides[0].connect() as source, self.sides[1].connect() as destination:
            last = (await source.execute(ids)).scalar_one() - (self.rows - wanted)
            while (await destination.execute(high)).scalar_one() < last:
                await asyncio.sleep(0.02)
        seconds = time.monotonic() - began
        while rows is None and await self._missing():
            await asyncio.sleep(0.05)
        return seconds

    async def _missing(self) -> int:
        return self.rows - await count_rows(self.sides[1], "records")

    async def closed(self) -> float:
        """Seconds until every hole is closed in the mark of the second database, and all rows have arrived."""
        began = time.monotonic()
        holes = sa.select(sa.func.sum(sa.func.cardinality(Mark.holes_low)))
        async with self.sides[1].connect() as destination:
            while (await destination.execute(holes)).scalar_one() or await self._missing():
                await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def delays(self, rows: int) -> str:
        """The delay of single rows, from the first database to the second."""
        found = [each for each in [await delay(*self.sides) for _ in range(rows)] if each is not None]
        self.rows += rows
        return f"one row: p50 {statistics.median(found):.1f}  p90 {sorted(found)[int(rows * 0.9)]:.1f} ms"


def show(what: str, daemon: Child, *facts: str) -> None:
    """Print one line of figures."""
    print(f"{what:12}", *facts, f"peak {peak_mib([daemon.pid]):.0f} MiB", sep=" | ", flush=True)


async def grown(bench: Bench, name: str, rows: int, delays: int) -> None:
    """Measure single rows, and a burst, with the table as it is."""
    async with bench.daemon() as daemon:
        await bench.delivered()
        lone = await bench.delays(delays)
        began = time.monotonic()
        await bench.insert(rows)
        await bench.delivered()
        show(name, daemon, lone, f"{rows} rows with their insertion: {rows / (time.monotonic() - began):.0f} rows/s")


async def backlog(bench: Bench, rows: int) -> None:
    """Measure rows that wait when the daemon starts."""
    before = bench.rows
    await bench.insert(rows)
    tenth = rows // TENTH
    async with bench.daemon() as daemon:
        await bench.delivered(before + 1)
        seconds = [await bench.delivered(before + at * tenth) for at in range(1, TENTH)] + [await bench.delivered()]
        show("backlog", daemon, f"{rows} rows in {sum(seconds):.1f} s, rows/s", *rates(tenth, seconds))


def rates(rows: int, seconds: list[float]) -> list[str]:
    """The rate of the first part, the rate of the last part, and the median."""
    every = [rows / each for each in seconds]
    return [f"first tenth {every[0]:.0f}", f"last tenth {every[-1]:.0f}", f"median {statistics.median(every):.0f}"]


async def transaction(bench: Bench, rows: int, delays: int) -> None:
    """Measure many rows in one transaction, and single rows while it is open."""
    async with bench.daemon() as daemon:
        await bench.delivered()
        async with bench.sides[0].begin() as large:
            await patiently(large)
            await large.execute(_made(rows, sa.select(sa.func.gen_random_uuid(), sa.literal("large"))))
            bench.rows += rows
            lone = await bench.delays(delays)
        seconds = await bench.closed()
        show("transaction", daemon, f"{rows} rows in {seconds:.1f} s after the commit", f"while it was open, {lone}")


async def patiently(connection: AsyncConnection) -> None:
    """Keep this transaction open: SNK's session settings would end a transaction that is idle for some seconds."""
    await connection.execute(sa.text("set local idle_in_transaction_session_timeout = 0"))


async def holes(bench: Bench, ids: int, delays: int) -> None:
    """Make every other id a hole, while an old transaction is open."""
    drawn = sa.func.nextval(sa.func.pg_get_serial_sequence("records", "id"))
    made = sa.select(sa.func.gen_random_uuid(), sa.literal("between")).where(drawn > 0)
    async with bench.daemon() as daemon:
        await bench.delivered()
        async with bench.sides[0].begin() as old, bench.sides[0].begin() as young:
            await patiently(old)
            await patiently(young)
            await old.execute(_made(1, sa.select(sa.func.gen_random_uuid(), sa.literal("old"))))
            began = time.monotonic()
            await young.execute(_made(ids, made))
            await young.commit()
            bench.rows += ids
            await bench.delivered()
            seconds = time.monotonic() - began
            lone = await bench.delays(delays)
            cpu = usage([daemon.pid], ()).own_seconds
        bench.rows += 1
        closed = await bench.closed()
        cpu = usage([daemon.pid], ()).own_seconds - cpu
        facts = f"{ids} of them, {seconds:.1f} s with their making", f"while they are open, {lone}"
        show("holes", daemon, *facts, f"closed in {closed:.1f} s, {cpu:.1f} CPU seconds")


async def wide(bench: Bench, rows: int) -> None:
    """Measure rows of 1 MiB, in both directions at once."""
    value = sa.func.repeat(sa.func.md5(sa.cast(sa.func.random(), sa.Text)), MIB // 32)
    for side in bench.sides:
        async with side.begin() as connection:
            await connection.execute(_made(rows, sa.select(sa.func.gen_random_uuid(), value)))
    async with bench.daemon() as daemon:
        began = time.monotonic()
        bench.rows += 2 * rows
        for side in bench.sides:
            while await count_rows(side, "records") < bench.rows:
                await asyncio.sleep(0.05)
        seconds = time.monotonic() - began
        show("wide", daemon, f"{rows} rows of 1 MiB each way in {seconds:.1f} s, {2 * rows / seconds:.0f} MiB/s")


def _made(rows: int, made: sa.Select[tuple[object, ...]]) -> sa.Insert:
    numbers = sa.func.generate_series(1, rows).table_valued("number")
    return sa.insert(Record).from_select(["uuid", "data"], made.select_from(numbers))


async def main(pair: EmbeddedPair, sizes: argparse.Namespace) -> None:
    """Run all measurements, the small table first."""
    bench = Bench(pair)
    for side in bench.sides:
        await prepare(side, ("records",))
    burst = max(1, sizes.backlog // TENTH)
    await grown(bench, "empty", burst, sizes.delays)
    await backlog(bench, sizes.backlog)
    if bench.rows < sizes.table:
        await backlog(bench, sizes.table - bench.rows)
    await grown(bench, "table", burst, sizes.delays)
    await transaction(bench, sizes.transaction, sizes.delays)
    await holes(bench, sizes.holes, sizes.delays)
    await wide(bench, sizes.wide)


def wanted() -> argparse.Namespace:
    """Parse the sizes."""
    parser = argparse.ArgumentParser(description="The daemon under very large loads.")
    add: Callable[..., object] = parser.add_argument
    for name, size in (("backlog", 10**7), ("table", 10**7), ("transaction", 10**6), ("holes", 10**5)):
        add(f"--{name}", type=int, default=size)
    add("--wide", type=int, default=500)
    add("--delays", type=int, default=100)
    return parser.parse_args()


if __name__ == "__main__":
    settle()
    given = wanted()
    with ground() as fresh:
        uvloop.run(main(fresh.pair, given))
