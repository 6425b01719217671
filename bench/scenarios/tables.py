"""Many tables, most of them quiet: how soon all flow, over how many connections, and what they cost while idle.

Applications hold ten connections on each side, as they would.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.contenders.contender import Contender
from bench.ground import TRANSACTION_ROWS, Ground, both, fill
from bench.scenarios.latency import GIVE_UP_SECONDS, LOOK_SECONDS
from bench.usage import peak_mib, usage
from bench.watch import watching
from snk.db.server import Server

APPLICATIONS = 10
MET_PER_SECOND = 20  # after a start, what the contender does once for each table
BEGINNING = 3.0  # as a multiple of the idle time: until it also does what it does at intervals, such as comparisons
TURNS_PER_SECOND = 20  # tables that are behind; a contender may read rows that it wrote itself for a whole turn of all
SAMPLE_SECONDS = 0.05
_OPENED = sa.text("select count(*) from pg_stat_activity where application_name = 'snk' and pid <> all(:ours)")
_PID = sa.text("select pg_backend_pid()")


@dataclass(frozen=True, slots=True)
class Sized:
    """How much is measured.

    Attributes:
        tables: how many there are.
        lone: single rows, in both directions together.
        loaded: rows that are loaded, once into one of the tables and once into all.
        idle_seconds: how long the idle cost is measured.
    """

    tables: int
    lone: int
    loaded: int
    idle_seconds: float


async def many(ground: Ground, contender: Contender, *, sized: Sized) -> dict[str, float]:
    """Measure the start, the idle cost, single rows into tables that are chosen at random, and load.

    Returns:
        Seconds until all flow; the most connections on one server; shares of a core; percentiles, and CPU time of the
        contender for each single row, in milliseconds; rows per second of one table and of all until both sides hold
        them; rows that never arrived; the peak memory.
    """
    tables, idle_seconds = sized.tables, sized.idle_seconds
    names = [f"t{at:04}" for at in range(tables)]
    await ground.make_tables(names)
    await ground.warm_up()
    async with _applications(ground) as held:
        async with _sampled(held) as most:
            began = time.monotonic()
            await contender.start(ground, names)
            figures: dict[str, float] = {"up_seconds": time.monotonic() - began}
            await asyncio.sleep(BEGINNING * idle_seconds + tables / MET_PER_SECOND)
        figures |= await _idle(ground, contender, idle_seconds)
        async with _sampled(held) as more:
            before = usage(contender.pids, ())
            figures |= await _lone(held, names, sized.lone)
            used = usage(contender.pids, ()).since(before)
            figures["lone_own_ms"] = 1000 * used.own_seconds / sized.lone
        figures["connections"] = max(*most, *more)
        figures["peak_mib"] = peak_mib(contender.pids)
        for kind, loaded in (("one", names[:1]), ("all", names)):
            rate, lost = await _loaded(
                ground, loaded, sized.loaded, max(contender.stalled_seconds, tables / TURNS_PER_SECOND)
            )
            figures[f"{kind}_rows_per_second"] = rate
            figures["lost"] += lost
        figures["loaded_peak_mib"] = peak_mib(contender.pids)
        await contender.stop()
    return figures


async def _loaded(ground: Ground, names: Sequence[str], rows: int, stalled_seconds: float) -> tuple[float, int]:
    """Insert rows on both sides, a thousand a transaction, into one table after another; the servers generate them.

    Returns:
        Rows per second until both sides hold all of them; and how many never arrived, when no row did for so long.
    """
    each = max(1, rows // 2 // len(names) // TRANSACTION_ROWS) * TRANSACTION_ROWS
    total = 2 * each * len(names)
    async with watching(ground, names) as (watch, _):
        began = time.monotonic()
        await both(ground.sides, partial(fill, rows=each, tables=names))
        lost = await watch.drained(total, stalled_seconds)
        return (total - lost) / (watch.ended - began), lost


Held = tuple[list[AsyncConnection], list[AsyncConnection]]


@asynccontextmanager
async def _applications(ground: Ground) -> AsyncIterator[Held]:
    """The connections of applications, on each side."""
    async with AsyncExitStack() as stack:

        async def opened(side: Server) -> list[AsyncConnection]:
            return [await stack.enter_async_context(side.connect()) for _ in range(APPLICATIONS)]

        first, second = [await opened(side) for side in ground.sides]
        yield first, second


@asynccontextmanager
async def _sampled(held: Held) -> AsyncIterator[list[int]]:
    """The most connections of the contender so far, on each side; the last application looks."""
    most = [0, 0]

    async def look() -> None:
        ours = [[(await each.execute(_PID)).scalar_one() for each in side] for side in held]
        while True:
            for at, side in enumerate(held):
                opened = (await side[-1].execute(_OPENED, {"ours": ours[at]})).scalar_one()
                most[at] = max(most[at], opened)
            await asyncio.sleep(SAMPLE_SECONDS)

    looking = asyncio.create_task(look())
    try:
        yield most
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def _idle(ground: Ground, contender: Contender, seconds: float) -> dict[str, float]:
    servers = (ground.pair.first.pid, ground.pair.second.pid)
    before = usage(contender.pids, servers)
    await asyncio.sleep(seconds)
    used = usage(contender.pids, servers).since(before)
    return {
        "idle_own_percent": 100 * used.own_seconds / seconds,
        "idle_server_percent": 100 * used.server_seconds / seconds / 2,
    }


async def _lone(held: Held, names: list[str], rows: int) -> dict[str, float]:
    """Insert single rows, each into a table chosen at random."""
    for side in held:
        await side[0].execute(sa.text("set synchronous_commit = on"))  # as applications commit
    delays: list[float | None] = []
    for number in range(rows):
        source, destination = held if number % 2 else held[::-1]
        await asyncio.sleep(random.uniform(0.015, 0.1))  # noqa: S311 - not a secret
        delays.append(await _delay(source[0], destination[0], random.choice(names)))  # noqa: S311
    came = sorted(each for each in delays if each is not None)
    figures: dict[str, float] = {"lost": rows - len(came)}
    for percent in (50, 99) if came else ():
        figures[f"p{percent}_ms"] = came[min(len(came) - 1, len(came) * percent // 100)]
    return figures


async def _delay(source: AsyncConnection, destination: AsyncConnection, table: str) -> float | None:
    """The milliseconds from a commit until the row is there; None if it never is."""
    insert = sa.text(f"insert into {table} (uuid, data) values (gen_random_uuid(), 'x') returning uuid")
    name = {"uuid": (await source.execute(insert)).scalar_one()}
    sight = sa.text(f"select 1 from {table} where uuid = :uuid")
    committed = time.perf_counter()
    while (await destination.execute(sight, name)).first() is None:
        if time.perf_counter() - committed > GIVE_UP_SECONDS:
            return None
        await asyncio.sleep(LOOK_SECONDS)
    return (time.perf_counter() - committed) * 1000
