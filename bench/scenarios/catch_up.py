"""Rows that wait when the contender resumes: how fast both sides become equal, and at what cost."""

import time
from collections.abc import Sequence

from bench.contenders.contender import Contender
from bench.ground import TABLE, Ground, fill
from bench.race import begin, conclude, costs
from bench.usage import usage
from bench.watch import watching


async def catch_up(
    ground: Ground,
    contender: Contender,
    rows: tuple[int, int],
) -> dict[str, float]:
    """Measure rows that wait on both sides.

    The contender starts and is paused; the rows are inserted, a thousand per transaction; then the contender resumes.

    Args:
        ground: a fresh ground.
        contender: the contender to measure.
        rows: number of rows in the first and in the second database.

    Returns:
        As `waiting`.
    """
    await begin(ground, contender)
    figures = await waiting(ground, contender, rows)
    await conclude(ground, contender, figures)
    return figures


async def waiting(
    ground: Ground,
    contender: Contender,
    rows: tuple[int, int],
    *,
    tables: Sequence[str] = (TABLE,),
    data_bytes: int = 32,
) -> dict[str, float]:
    """Run the measurement with a contender that is already running.

    Args:
        ground: a ground with these tables.
        contender: the contender to measure.
        rows: number of rows in the first and in the second database, over all tables.
        tables: the tables that share the rows evenly.
        data_bytes: the size of a row without its uuid.

    Returns:
        ``rows_per_second``: of all rows, until both sides hold them; ``lost``; and `costs`.
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
        seconds = watch.ended - began
        used = usage(contender.pids, servers).since(before)
    return {
        "rows_per_second": (total - lost) / seconds,
        "seconds": seconds,
        "lost": lost,
        **costs(contender, used, total),
    }
