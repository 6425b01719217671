"""How soon a single row is visible on the other side: on an idle pair, and while TST loads it."""

import asyncio
import random
import signal
import sys
import time
import uuid

import sqlalchemy as sa

from bench.contenders.contender import Contender
from bench.ground import TABLE, Ground
from bench.usage import peak_mib, usage
from snk.db.server import Server

SETTLE_SECONDS = 2.0
LOOK_SECONDS = 0.0005
GIVE_UP_SECONDS = 30.0

_INSERT = sa.text(f"insert into {TABLE} (uuid, data) values (:uuid, 'x')")
_SIGHT = sa.text(f"select 1 from {TABLE} where uuid = :uuid")


async def idle(ground: Ground, contender: Contender, rows: int, idle_seconds: float) -> dict[str, float]:
    """Insert single rows about every 25 ms, in both directions in turn; then measure the cost of being idle.

    Returns:
        Percentiles in milliseconds, per direction; rows that never arrived; and the share of a core that the contender
        and the servers use when nothing happens.
    """
    await ground.make_tables()
    await ground.warm_up()
    await contender.start(ground, (TABLE,))
    await asyncio.sleep(SETTLE_SECONDS)
    figures = await _both_ways(ground, rows)
    await asyncio.sleep(idle_seconds / 4)
    servers = (ground.pair.first.pid, ground.pair.second.pid)
    before = usage(contender.pids, servers)
    await asyncio.sleep(idle_seconds)
    used = usage(contender.pids, servers).since(before)
    figures["idle_own_percent"] = 100 * used.own_seconds / idle_seconds
    figures["idle_server_percent"] = 100 * used.server_seconds / idle_seconds
    figures["peak_mib"] = peak_mib(contender.pids)
    await contender.stop()
    return figures


async def loaded(ground: Ground, contender: Contender, rows: int) -> dict[str, float]:
    """Insert single rows while TST loads both sides continuously.

    Returns:
        As `idle`, without the costs.
    """
    await ground.make_tables()
    await ground.warm_up()
    await contender.start(ground, (TABLE,))
    command = [sys.executable, "-m", "tst", "--quiet"]
    tst = await asyncio.create_subprocess_exec(*command, env=dict(ground.values), stdout=asyncio.subprocess.DEVNULL)
    try:
        await asyncio.sleep(SETTLE_SECONDS)
        figures = await _both_ways(ground, rows)
    finally:
        tst.send_signal(signal.SIGTERM)
        await tst.wait()
    figures["peak_mib"] = peak_mib(contender.pids)
    await contender.stop()
    return figures


async def _both_ways(ground: Ground, rows: int) -> dict[str, float]:
    figures: dict[str, float] = {"lost": 0}
    for name, (source, destination) in (("there", ground.sides), ("back", ground.sides[::-1])):
        delays = [await delay(source, destination) for _ in range(rows)]
        came = sorted(each for each in delays if each is not None)
        figures["lost"] += rows - len(came)
        for percent in (50, 90, 99) if came else ():
            figures[f"p{percent}_{name}_ms"] = came[min(len(came) - 1, len(came) * percent // 100)]
    return figures


async def delay(
    source: Server, destination: Server, insert: sa.TextClause = _INSERT, sight: sa.TextClause = _SIGHT
) -> float | None:
    """Return the milliseconds from a commit on one side until the row is visible on the other; None if it never is.

    Args:
        source: the side that inserts.
        destination: the side that waits.
        insert: inserts what ``uuid`` identifies.
        sight: returns a row once everything inserted is visible.
    """
    name = {"uuid": uuid.uuid4()}
    async with source.connect() as writing, destination.connect() as watching:
        await watching.execute(sight, name)
        await writing.execute(sa.text("set synchronous_commit = on"))  # as applications commit
        await asyncio.sleep(random.uniform(0.015, 0.035))  # noqa: S311 - not a secret
        await writing.execute(insert, name)
        committed = time.perf_counter()
        while (await watching.execute(sight, name)).first() is None:
            if time.perf_counter() - committed > GIVE_UP_SECONDS:
                return None
            await asyncio.sleep(LOOK_SECONDS)
        return (time.perf_counter() - committed) * 1000
