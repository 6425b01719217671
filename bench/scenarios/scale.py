"""Tables that already hold many rows, many tables, and wide rows."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import uvloop

from bench.contenders.contender import Contender
from bench.ground import TABLE, Ground, both, fill, fill_alike, ground, last_id, run, text, tidy
from bench.race import begin, conclude, settle
from bench.scenarios.catch_up import waiting
from bench.scenarios.live import load
from bench.watch import watching


def grown(
    contenders: Sequence[Callable[[], Contender]], held: int, rows: int, rounds: int, warm_rows: int
) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Measure catch-up and load on tables that hold many rows: one pair of servers, one contender after another.

    Args:
        contenders: run in turn, in reverse order every other round; the rows they deliver are deleted again.
        held: number of rows that both sides hold before.
        rows: number of rows to catch up with, and to load.
        rounds: number of rounds.
        warm_rows: as in `ground`.

    Yields:
        The contender's name, the round, and the figures: ``rows_per_second`` of the catch-up, ``live_rows_per_second``.
    """
    options = {name: value for make in contenders for name, value in make().options.items()}
    with ground(options, warm_rows) as fresh:
        uvloop.run(_fill(fresh, held, [make() for make in contenders]))
        for number in range(1, rounds + 1):
            for make in contenders if number % 2 else reversed(contenders):
                contender = make()
                yield contender.name, number, uvloop.run(_one(fresh, contender, rows))


async def spread(
    ground: Ground, contender: Contender, rows: int, *, tables: Sequence[str] = (TABLE,), data_bytes: int = 32
) -> dict[str, float]:
    """Measure catch-up and load of many tables, or of wide rows; the servers generate the load, one connection each.

    Returns:
        As `grown`.
    """
    await begin(ground, contender, tables)
    figures = await waiting(ground, contender, (rows, 0), tables=tables, data_bytes=data_bytes)
    async with watching(ground, tables) as (watch, _):
        began, each = time.monotonic(), rows // 2 // len(tables)
        await both(ground.sides, partial(fill, rows=each, tables=tables, data_bytes=data_bytes))
        total = 2 * each * len(tables)
        lost = await watch.drained(total, contender.stalled_seconds)
        figures["live_rows_per_second"] = (total - lost) / (watch.ended - began)
        figures["lost"] += lost
    await conclude(ground, contender, figures, tables)
    return figures


async def _fill(fresh: Ground, held: int, contenders: Sequence[Contender]) -> None:
    await fresh.make_tables()
    await fresh.warm_up()
    if held:
        await fill_alike(fresh, held)
        for contender in contenders:
            await contender.adopt(fresh, (TABLE,))


async def _one(fresh: Ground, contender: Contender, rows: int) -> dict[str, float]:
    held = [await last_id(side) for side in fresh.sides]
    await settle(fresh, contender)
    figures = await waiting(fresh, contender, (rows, 0))
    async with watching(fresh) as (watch, moment):
        loaded = await load(fresh, rows, (watch, moment), contender.stalled_seconds)
    figures["live_rows_per_second"] = loaded["rows_per_second"]
    figures["lost"] += loaded["lost"]
    await conclude(fresh, contender, figures)
    await _take_out(fresh, held)
    return figures


async def _take_out(fresh: Ground, held: Sequence[int]) -> None:
    """Delete rows above the given ids except the last row of each side: ids that go back would alarm SNK."""
    newest = f"select uuid from {TABLE} order by id desc limit 1"
    kept = ", ".join([f"'{await text(side, newest)}'" for side in fresh.sides])
    for side, high in zip(fresh.sides, held, strict=True):
        await run(side, f"delete from {TABLE} where id > {high} and uuid not in ({kept})")
    await both(fresh.sides, tidy)
