"""How soon an order with its lines is on the other side, and how soon rows that are put back under low ids.

    python -m bench.orders [TIMES] [ROWS]

The lines refer to their order, and one transaction inserts both. Prints percentiles, in milliseconds from the commit to
the sight of the last line, of so many lone rows and of so many orders, with either table first in SNK_TABLES. Then so
many rows are put back under ids far below the mark, as a restore does: the seconds from the commit to the last of them.
"""

import asyncio
import random
import sys
import time
import uuid

import sqlalchemy as sa
import uvloop

from bench.ground import Ground, ground, run
from snk.cli.inherited import settle
from snk.db.engine import Server
from snk.db.rows import count_rows
from snk.embedded.programs import start_daemon

LINES = 5
LOOK_SECONDS = 0.0005
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
_SEEN_ORDER = sa.text("select count(*) from orders where uuid = :uuid")
_SEEN_LINES = sa.text("select count(*) from lines where order_uuid = :uuid")


async def orders(ground: Ground, tables: str, times: int) -> None:
    """Lone rows, then orders with their lines, with the tables in this order."""
    daemon = start_daemon(ground.pair, {**ground.values, "SNK_TABLES": tables})
    try:
        await delay(ground.sides, lines=0)  # until the daemon is there
        await delay(ground.sides, lines=LINES)
        for what, lines in (("a lone order", 0), (f"an order with {LINES} lines", LINES)):
            delays = sorted([await delay(ground.sides, lines) for _ in range(times)])
            p50, p95 = delays[times // 2], delays[min(times - 1, times * 95 // 100)]
            print(f"SNK_TABLES={tables}: {what}: p50 {p50:.1f}  p95 {p95:.1f}  longest {delays[-1]:.1f} ms", flush=True)
    finally:
        daemon.end(15, 10)


async def delay(sides: tuple[Server, Server], lines: int) -> float:
    """Milliseconds from the commit on the first side to the sight on the second."""
    source, destination = sides
    name = {"uuid": uuid.uuid4()}
    insert, seen, wanted = (_WITH_LINES, _SEEN_LINES, lines) if lines else (_ORDER, _SEEN_ORDER, 1)
    async with source.connect() as writing, destination.connect() as watching:
        await watching.execute(seen, name)
        await writing.execute(sa.text("set synchronous_commit = on"))  # as applications commit
        await asyncio.sleep(random.uniform(0.05, 0.1))  # noqa: S311 - no secret
        await writing.execute(insert, name)
        committed = time.perf_counter()
        while (await watching.execute(seen, name)).scalar_one() < wanted:
            await asyncio.sleep(LOOK_SECONDS)
        return (time.perf_counter() - committed) * 1000


async def restore(ground: Ground, rows: int) -> None:
    """Put old rows back, far below the mark."""
    source, destination = ground.sides
    await run(source, f"select setval('orders_id_seq', {HIGH})")
    daemon = start_daemon(ground.pair, {**ground.values, "SNK_TABLES": "orders"})
    try:
        await delay(ground.sides, lines=0)
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
