"""Rows that wait when the contender goes on: how fast both sides come together, and what that costs."""

import asyncio
import time
from collections.abc import Sequence

from bench.contenders.contender import Contender
from bench.ground import TABLE, Ground, fill, same
from bench.usage import peak_mib, usage
from bench.watch import watching

SETTLE_SECONDS = 1.0


async def catch_up(
    ground: Ground,
    contender: Contender,
    rows: tuple[int, int],
    *,
    tables: Sequence[str] = (TABLE,),
    data_bytes: int = 32,
) -> dict[str, float]:
    """So many rows wait on either side.

    The contender runs, is held while they are inserted, a thousand a transaction, and let go.

    Args:
        ground: fresh.
        contender: who is measured.
        rows: in the first and in the second database, over all tables.
        tables: to share them among, evenly.
        data_bytes: the size of a row but for its uuid.

    Returns:
        As `waiting`.
    """
    await ground.make_tables(tables)
    await ground.warm_up()
    await contender.start(ground, tables)
    await asyncio.sleep(SETTLE_SECONDS)
    figures = await waiting(ground, contender, rows, tables=tables, data_bytes=data_bytes)
    if not figures["lost"] and not await same(ground, tables):
        figures["lost"] = 1
    await contender.stop()
    return figures


async def waiting(
    ground: Ground,
    contender: Contender,
    rows: tuple[int, int],
    *,
    tables: Sequence[str] = (TABLE,),
    data_bytes: int = 32,
) -> dict[str, float]:
    """The measurement itself, under a contender that runs.

    Returns:
        ``rows_per_second``: of all rows, until both sides hold them; ``lost``; CPU seconds per million rows of the
        contender's own processes and of the servers; bytes per row over the network, the measurement's own few among
        them; and peak memory in MiB.
    """
    total = sum(rows)
    servers = (ground.pair.first.pid, ground.pair.second.pid)
    async with watching(ground, tables) as (watch, _):
        await contender.pause()
        for side, many in zip(ground.sides, rows, strict=True):
            await fill(side, many // len(tables), tables, data_bytes=data_bytes)
        before, began = usage(contender.pids, servers), time.monotonic()
        await contender.resume()
        lost = await watch.drained(total, contender.stalled_seconds)
        seconds = time.monotonic() - began
        used = usage(contender.pids, servers).since(before)
    return {
        "rows_per_second": (total - lost) / seconds,
        "seconds": seconds,
        "lost": lost,
        "own_cpu": used.own_seconds / total * 1e6,
        "server_cpu": used.server_seconds / total * 1e6,
        "wire_bytes": used.network_bytes / total,
        "peak_mib": peak_mib(contender.pids),
    }
