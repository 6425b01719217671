"""Starts a contender on a ground, and checks the result at the end."""

import asyncio
from collections.abc import Sequence

from bench.contenders.contender import Contender
from bench.ground import TABLE, Ground, same
from bench.usage import Usage, peak_mib

SETTLE_SECONDS = 1.0


async def begin(ground: Ground, contender: Contender, tables: Sequence[str] = (TABLE,)) -> None:
    """Create fresh tables, start a contender on them, and wait until it is idle."""
    await ground.make_tables(tables)
    await ground.warm_up()
    await settle(ground, contender, tables)


async def settle(ground: Ground, contender: Contender, tables: Sequence[str] = (TABLE,)) -> None:
    """Start a contender on the tables as they are, and wait until it is idle."""
    await contender.start(ground, tables)
    await asyncio.sleep(SETTLE_SECONDS)


async def conclude(
    ground: Ground, contender: Contender, figures: dict[str, float], tables: Sequence[str] = (TABLE,)
) -> None:
    """Count differing sides as ``lost``, and stop the contender."""
    if not figures["lost"] and not await same(ground, tables):
        figures["lost"] = 1
    await contender.stop()


def costs(contender: Contender, used: Usage, rows: int) -> dict[str, float]:
    """Return what it cost to deliver ``rows`` rows.

    Returns:
        CPU seconds per million rows, of the contender's own processes and of the servers; bytes per row over the
        network, including the few of the measurement itself; peak memory in MiB.
    """
    return {
        "own_cpu": used.own_seconds / rows * 1e6,
        "server_cpu": used.server_seconds / rows * 1e6,
        "wire_bytes": used.network_bytes / rows,
        "peak_mib": peak_mib(contender.pids),
    }
