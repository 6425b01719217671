"""How fast the servers can insert without any sync: an upper bound for every contender."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import sqlalchemy as sa

from bench.ground import TABLE, Ground, both, checkpoint, run
from snk.db.server import Server

MADE = "select gen_random_uuid(), md5(random()::text) from generate_series(1, {rows})"
HALVES = (0, 1)


async def limit(ground: Ground, rows: int) -> dict[str, float]:
    """Insert rows into an empty table, in two statements, one after the other or concurrently.

    Binary COPY reads a file that was written to the server's disk before; INSERT ... SELECT generates its rows. Each
    statement is one transaction, so there is one commit per half of the rows, while contenders commit every thousand
    rows or fewer.

    Returns:
        Rows per second by ``copy`` and by ``insert``: ``_one`` connection to one server, ``_two`` connections to it,
        and one connection to each of the servers: ``_both_sides`` counts the rows of both, twice as many.
    """
    await ground.make_tables()
    await ground.warm_up()
    files = [ground.pair.first.folder / f"half{half}" for half in HALVES]  # both servers' account reads them
    for file in files:
        await run(ground.sides[0], f"copy ({MADE.format(rows=rows // 2)}) to '{file}' (format binary)")
    figures = {}
    for way, halves in _ways(files, rows).items():
        for name, begin in _arrangements(ground).items():
            sessions = begin(halves)
            await both(ground.sides, _empty)
            figures[f"{way}_{name}"] = rows // 2 * sum(len(session[1]) for session in sessions) / await _took(sessions)
    for file in files:
        file.unlink()
    return figures


def _ways(files: Sequence[Path], rows: int) -> Mapping[str, Sequence[str]]:
    """Return the statements for both halves."""
    return {
        "copy": [f"copy {TABLE} (uuid, data) from '{file}' (format binary)" for file in files],
        "insert": [f"insert into {TABLE} (uuid, data) {MADE.format(rows=rows // 2)}" for _ in HALVES],
    }


Session = tuple[Server, Sequence[str]]
"""A connection to be, and its statements."""


def _arrangements(ground: Ground) -> Mapping[str, Callable[[Sequence[str]], list[Session]]]:
    first, second = ground.sides
    return {
        "one": lambda halves: [(first, halves)],
        "two": lambda halves: [(first, [half]) for half in halves],
        "both_sides": lambda halves: [(first, halves), (second, halves)],
    }


async def _took(sessions: Sequence[Session]) -> float:
    """Return the seconds from when all are connected until everything is committed."""
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(server.connect()) for server, _ in sessions]

        async def work(at: int) -> None:
            for statement in sessions[at][1]:
                await lines[at].execute(sa.text(statement.replace(":", "\\:")))

        began = time.monotonic()
        await asyncio.gather(*(work(at) for at in range(len(sessions))))
        return time.monotonic() - began


async def _empty(side: Server) -> None:
    """Empty the table, and leave nothing to write to disk."""
    await run(side, f"truncate {TABLE}")
    await checkpoint(side)
