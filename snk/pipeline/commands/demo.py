"""``snk pipeline demo``: see the pipeline at work, on embedded databases."""

import json
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from snk.board import board, console_for
from snk.core.words import counted
from snk.embedded.temporary import database_server
from snk.log import configure_log
from snk.options import Json
from snk.pipeline.demo.run import Result, play
from snk.pipeline.demo.stage import opened
from snk.signals import interruptible, stoppable


def demo(
    *,
    seconds: Annotated[float, typer.Option(min=10, max=600, help="How long clients write, and faults happen.")] = 30.0,
    hours: Annotated[int, typer.Option(min=1, max=168, help="How many hours of frames there are.")] = 24,
    as_json: Json = False,
) -> None:
    """Bring a day of minutes over while both ends, the network and the pipeline fail; then compare the databases.

    Starts a database server, two `snk serve`, pull and push, in a temporary folder. Exit code 0 only if `verify` and
    the digests of both servers find that both databases hold the same.
    """
    configure_log("console", "error")
    console = console_for(as_json=as_json)
    with interruptible():
        result = _run(console, hours, seconds)
    if as_json:
        print(json.dumps(result.document))
    else:
        _tell(result)
    raise typer.Exit(1 if result.amiss else 0)


def _run(console: Console, hours: int, seconds: float) -> Result:
    console.print("a database server, a sending and a receiving server are started")
    with database_server("snk-pipeline-") as (folder, database):

        async def whole() -> Result:
            async with opened(folder, database) as stage:
                with board(console, often_seconds=0.5, seldom_seconds=2.0) as shown:
                    return await play(stage, shown, hours, seconds)

        return uvloop.run(stoppable(whole()))


def _tell(result: Result) -> None:
    for name, digest in result.digests.items():
        print(f"{name:16} {digest}")
    print(
        f"{counted(result.frames, 'frame')} with {counted(result.records, 'record')}, {result.late:,} of them late;"
        f" {counted(result.doubled, 'record')} sent twice and stored once;"
        f" {counted(result.ambiguous, 'answer')} lost and asked for again;"
        f" {counted(result.stored, 'record')} recognised as there before"
    )
    for words in result.amiss:
        print(f"! {words}")
    if not result.amiss:
        print(f"equal: {counted(result.verified, 'frame')} verified, and both databases hold the same")
