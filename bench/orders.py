"""How soon an order with its lines is on the other side, and how soon rows that are restored under low ids.

    python -m bench.orders [TIMES] [ROWS]

The lines refer to their order, and one transaction inserts both. Prints percentiles in milliseconds, from the commit
until the last line is visible, of TIMES single rows and of TIMES orders, with either table first in SNK_TABLES. Then it
inserts ROWS rows again under ids far below the mark, as a restore does, and prints the seconds from the commit to the
last of them.
"""

import asyncio
import sys
import time

import sqlalchemy as sa
import uvloop

from bench.ground import Ground, ground, run
from bench.scenarios.latency import delay
from snk.cli.inherited import settle
from snk.pair.programs import start_daemon
from snk.pair.table.count import count_rows

LINES = 5
TABLES = (
    "create table orders (id bigserial primary key, uuid uuid not null unique)",
    (
        "create table lines (id bigserial primary key, uuid uuid not null unique,"
        " order_uuid uuid not null references orders (uuid))"
    ),
)
HIGH = 1_000_000_000
_ORDER = sa.text("insert into orders (uuid) values (:uuid)")
_WITH_LINES = sa.text(
    "with made as (insert into orders (uuid) values (:uuid) returning uuid) insert into lines (uuid, order_uuid)"
    f" select gen_random_uuid(), made.uuid from made, generate_series(1, {LINES})"
)
_SEEN_ORDER = sa.text("select 1 from orders where uuid = :uuid")
_SEEN_LINES = sa.text(f"select 1 from lines where order_uuid = :uuid having count(*) = {LINES}")
LONE, WITH_LINES = (_ORDER, _SEEN_ORDER), (_WITH_LINES, _SEEN_LINES)


async def orders(ground: Ground, tables: str, times: int) -> None:
    """Measure single rows, then orders with their lines, with the tables in this order."""
    daemon = start_daemon(ground.pair, {**ground.values, "SNK_TABLES": tables})
    try:
        await delay(*ground.sides, *WITH_LINES)  # until the daemon is ready
        for what, statements in (("a lone order", LONE), (f"an order with {LINES} lines", WITH_LINES)):
            delays = [await delay(*ground.sides, *statements) for _ in range(times)]
            came = sorted(each for each in delays if each is not None)
            p50, p95 = came[len(came) // 2], came[min(len(came) - 1, len(came) * 95 // 100)]
            figures = f"p50 {p50:.1f}  p95 {p95:.1f}  longest {came[-1]:.1f} ms, {times - len(came)} lost"
            print(f"SNK_TABLES={tables}: {what}: {figures}", flush=True)
    finally:
        daemon.end(15, 10)


async def restore(ground: Ground, rows: int) -> None:
    """Insert old rows again, far below the mark."""
    source, destination = ground.sides
    await run(source, f"select setval('orders_id_seq', {HIGH})")
    daemon = start_daemon(ground.pair, {**ground.values, "SNK_TABLES": "orders"})
    try:
        await delay(*ground.sides, *LONE)
        before = await count_rows(destination, "orders")
        first = HIGH // 2
        ids = f"generate_series({first}, {first + rows - 1})"
        await run(source, f"insert into orders (id, uuid) select n, gen_random_uuid() from {ids} n")
        committed = time.perf_counter()
        while await count_rows(destination, "orders") < before + rows:
            await asyncio.sleep(0.02)
        print(f"{rows} rows put back: {time.perf_counter() - committed:.2f} s", flush=True)
    finally:
        daemon.end(15, 10)


async def main(ground: Ground, times: int, rows: int) -> None:
    """Run the measurements."""
    for side in ground.sides:
        for table in TABLES:
            await run(side, table)
    for tables in ("orders,lines", "lines,orders"):
        await orders(ground, tables, times)
    await restore(ground, rows)


if __name__ == "__main__":
    settle()
    given = [int(text) for text in sys.argv[1:]]
    with ground() as fresh:
        uvloop.run(main(fresh, *given, *(200, 100_000)[len(given) :]))
