"""TST at full speed on both sides, with every contender and with none."""

import asyncio
import sys
import time

from bench.contenders.contender import Contender
from bench.ground import Ground
from bench.race import begin, conclude, costs
from bench.usage import usage
from bench.watch import Moment, Watch, watching


async def live(ground: Ground, contender: Contender, rows: int) -> dict[str, float]:
    """Let TST insert rows, then wait until both sides hold all of them.

    Returns:
        ``rows_per_second``: until both sides hold all rows; ``tst_rows_per_second``: as TST measures it;
        ``percent_at_stop``: share of the rows on both sides when TST has committed the last one; ``drain_seconds``:
        from then until all are; ``lost``: rows that never arrived; and `costs`.
    """
    await begin(ground, contender)
    servers = (ground.pair.first.pid, ground.pair.second.pid)
    async with watching(ground) as (watch, moment):
        before = usage(contender.pids, servers)
        watches = (watch, moment) if contender.name != "nobody" else None
        figures = await load(ground, rows, watches, contender.stalled_seconds)
        used = usage(contender.pids, servers).since(before)
    figures |= costs(contender, used, rows)
    if contender.name != "nobody":
        await conclude(ground, contender, figures)
    return figures


async def load(
    ground: Ground, rows: int, watches: tuple[Watch, Moment] | None, stalled_seconds: float
) -> dict[str, float]:
    """Let TST insert rows; with watches, wait until both sides hold them. Figures as in `live`."""
    command = [sys.executable, "-m", "tst", "--quiet", "--rows", str(rows)]
    tst = await asyncio.create_subprocess_exec(*command, env=dict(ground.values), stdout=asyncio.subprocess.PIPE)
    assert tst.stdout  # noqa: S101 - it is a pipe
    said = (await tst.stdout.readline()).decode()  # its last line, printed right after the last commit
    stopped = time.monotonic()
    seconds = float(said.split(" in ")[1].split()[0])
    figures = {"tst_rows_per_second": rows / seconds}
    if watches:
        watch, moment = watches
        await moment.seize(watch)
        lost = await watch.drained(rows, stalled_seconds)
        drain = watch.ended - stopped
        figures["percent_at_stop"] = 100 * min(await moment.come()) / rows
        figures |= {"drain_seconds": drain, "lost": lost, "rows_per_second": (rows - lost) / (seconds + drain)}
    else:
        figures["rows_per_second"] = figures["tst_rows_per_second"]
    await tst.wait()
    return figures
