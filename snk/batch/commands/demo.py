"""``snk batch demo``: see the batch at work, on an embedded database."""

import json
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from snk.batch.demo.run import Result, play
from snk.batch.demo.stage import opened
from snk.board import board, console_for
from snk.core.words import counted
from snk.embedded.temporary import database_server
from snk.log import configure_log
from snk.options import Json
from snk.signals import interruptible, stoppable


def demo(
    *,
    rows: Annotated[
        int, typer.Option(min=1000, max=1_000_000, help="How many records each of five files has.")
    ] = 20_000,
    as_json: Json = False,
) -> None:
    """Load five files by two groups of tasks while a node, a consumer and a record come to harm; then compare.

    Starts a database server, a provider, two nodes of the platform and two consumers, in a temporary folder. Exit code
    0 only if all runs are complete and both databases hold the same.
    """
    configure_log("console", "error")
    console = console_for(as_json=as_json)
    with interruptible():
        result = _run(console, rows)
    if as_json:
        print(json.dumps(result.document))
    else:
        _tell(result)
    raise typer.Exit(1 if result.amiss else 0)


def _run(console: Console, rows: int) -> Result:
    console.print("a database server starts, then a provider, two nodes of the platform and two consumers")
    with database_server("snk-batch-") as (folder, database):

        async def whole() -> Result:
            with board(console, often_seconds=0.2, seldom_seconds=2.0) as shown:
                async with opened(folder, database, rows, shown.say) as stage:
                    return await play(stage, shown, rows)

        return uvloop.run(stoppable(whole()))


def _tell(result: Result) -> None:
    for name, state in result.runs.items():
        print(f"{name:10} {state}")
    for words in result.amiss:
        print(f"! {words}")
    if not result.amiss:
        print(f"equal: {counted(result.records, 'record')} are loaded, and both databases hold the same")
