"""``snk handoff demo``: see the hand-off at work, on an embedded database server."""

import json
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from snk.board import board, console_for
from snk.core.words import counted
from snk.embedded.temporary import database_server
from snk.handoff.demo.run import Result, play
from snk.handoff.demo.stage import opened
from snk.handoff.demo.writer import CLIENTS
from snk.log import configure_log
from snk.options import Json
from snk.signals import interruptible, stoppable


def demo(
    *,
    seconds: Annotated[
        float,
        typer.Option(min=5, max=600, help="How long the clients write, beside the time that processes take to start."),
    ] = 20.0,
    as_json: Json = False,
) -> None:
    """Write while backends, their network and the sync server fail; then compare both backends.

    Starts a database server, two backends, a front and a sync server, in a temporary folder. Exit code 0 only if both
    backends hold the same, everything that was answered with 200 is there, and no line is a dead letter.
    """
    configure_log("console", "error")
    console = console_for(as_json=as_json)
    with interruptible():
        result = _run(console, seconds)
    if as_json:
        print(json.dumps(result.document))
    else:
        _tell(result)
    raise typer.Exit(1 if result.amiss else 0)


def _run(console: Console, seconds: float) -> Result:
    console.print("a database server, two backends, a front and a sync server are started")
    with database_server("snk-handoff-") as (folder, database):

        async def whole() -> Result:
            async with opened(folder, database) as stage:
                with board(console, often_seconds=0.1, seldom_seconds=1.0) as shown:
                    shown.say(f"{CLIENTS} clients write; every change of a key has a version")
                    return await play(stage, shown, seconds)

        return uvloop.run(stoppable(whole()))


def _tell(result: Result) -> None:
    for name, digest in result.digests.items():
        print(f"{name:7} {digest}")
    lost = counted(result.unknown, "answer")
    print(
        f"{counted(result.written, 'write')} to {counted(result.keys, 'key')}; {result.handed_off:,} handed off, as"
        f" {counted(result.lines, 'line')}; {result.synced:,} lines synced; {lost} lost;"
        f" {counted(result.dead, 'dead letter')}"
    )
    for words in result.amiss:
        print(f"! {words}")
    if not result.amiss:
        print("equal: both backends hold the same, and everything that was written")
