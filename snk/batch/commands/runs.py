"""``snk batch runs``: list runs."""

import json
from collections.abc import Iterator
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.commands.common import asked, brief, fitted, run_words
from snk.batch.platform import looking
from snk.batch.platform.rows import Row
from snk.batch.state import State
from snk.core.shown import plain
from snk.options import Config, Json


def runs(
    task: Annotated[str | None, typer.Argument(help="Of this task or group only.")] = None,
    *,
    state: Annotated[list[State] | None, typer.Option(help="In this state only; may be given several times.")] = None,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=10_000)] = 20,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """List the newest runs, newest first: when each was triggered, how long it took, and what was rejected."""
    found = asked(config, lambda connection: _found(connection, task, [str(each) for each in state or ()], limit))
    if as_json:
        print(json.dumps({"runs": found}))
        return
    for line in (line for each in found for line in lines(each)):
        print(fitted(plain(line)))
    if not found:
        print("no runs")


def lines(run: Row) -> Iterator[str]:
    """A run in one line, and its reason, if there is one, in another."""
    words = run_words(run["id"], run)
    if run["overdue"]:
        words.append("OVERDUE")
    if run["parent"]:
        words.append(f"of run {run['parent']}")
    if run["node"]:
        words.append(f"called by {run['node']}")
    yield "  ".join([*words, *brief(run["payload_begins"], run["key"])])
    if run["reason"]:
        yield f"        {run['reason']}"


async def _found(connection: AsyncConnection, task: str | None, states: list[str], limit: int) -> list[Row]:
    part = looking.Part(limit)
    if task is None:
        return await looking.runs(connection, None, states, part)
    return await looking.runs_of(connection, task, states, part)
