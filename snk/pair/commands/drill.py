"""``snk drill``: inflict faults on a pair under load, one at a time, and prove that no row was lost or duplicated."""

import asyncio
import difflib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from snk.db.server import Server
from snk.errors import SettingsError
from snk.log import configure_log
from snk.pair.drill import table
from snk.pair.drill.board import Board, conclude, shown
from snk.pair.drill.fault import Fault
from snk.pair.drill.faults import all_faults
from snk.pair.drill.report import Result
from snk.pair.drill.run import Drill
from snk.pair.drill.stage import Place
from snk.pair.servers import embedded_pair
from snk.pair.settings import Settings, load_settings
from snk.signals import end_undisturbed, interruptible, when_told_to_stop

LINE_WIDTH = 200
TROUBLE = 2
# Timeout for the drill's own statements.
COMMAND_SECONDS = 20.0


def drill(
    *,
    only: Annotated[list[str] | None, typer.Option(help="Inflict only this fault; may be repeated.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the faults and exit.")] = False,
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="How long each fault lasts.")] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document; progress goes to stderr.")] = False,
    own: Annotated[bool, typer.Option("--own", help="Use the pair from the settings.")] = False,
    writes: Annotated[
        bool,
        typer.Option("--i-know-this-writes", help=f"With --own: create, fill and drop {table.NAME}."),
    ] = False,
    state: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Create the temporary folder here.")
    ] = None,
) -> None:
    """Break a pair under load and count what is lost.

    Inflicts one fault after another. The drill keeps its own record of which rows must exist, each exactly once.

    By default it uses embedded servers, which it creates and removes at the end. Exit code 0 only if every fault took
    place and both sides hold every committed row exactly once, and nothing else; 1 if not; 2 if the drill could not be
    done.
    """
    if listed:
        _list()
        return
    faults = _chosen(only)
    settings = load_settings()
    configure_log(settings.snk_log_format, "error")
    _check_consent(settings, own=own, writes=writes)
    console = _console(stderr=as_json)
    try:
        with interruptible(), _place(settings, state, own=own) as place:
            _introduce(console, place)
            result = _run(place, faults, seconds, console)
    except KeyboardInterrupt:
        print("snk: stopped before the drill began", file=sys.stderr)
        raise typer.Exit(TROUBLE) from None
    _tell(result, console, as_json=as_json)
    raise typer.Exit(_exit_code(result))


def _list() -> None:
    for fault in all_faults():
        print(f"{fault.name:16} {fault.sentence}")


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=LINE_WIDTH)


def _chosen(names: Sequence[str] | None) -> list[Fault]:
    """The faults with these names, in the order of `all_faults`; all faults if no name is given."""
    faults = all_faults()
    known = [fault.name for fault in faults]
    for name in names or ():
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise SettingsError(f"There is no fault {name!r}", hint=f"The nearest one is {nearest}; --list names all")
    return [fault for fault in faults if not names or fault.name in names]


def _check_consent(settings: Settings, *, own: bool, writes: bool) -> None:
    if writes and not own:
        raise SettingsError("--i-know-this-writes is for --own", hint="The embedded servers need no consent")
    if own and not writes:
        where = " and ".join(side.address for side in _sides(settings.first_dsn, settings.second_dsn))
        hint = f"If that is what you want, add --i-know-this-writes; {table.NAME} is made, filled and dropped there"
        raise SettingsError(f"--own writes into {where}", hint=hint)


def _sides(first: str, second: str) -> tuple[Server, Server]:
    return Server("first", first, COMMAND_SECONDS), Server("second", second, COMMAND_SECONDS)


@contextmanager
def _place(settings: Settings, state: Path | None, *, own: bool) -> Iterator[Place]:
    """The configured pair, or embedded servers in a temporary folder; the folder is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="snk-drill-", dir=state, ignore_cleanup_errors=True) as made:
        folder = Path(made)
        folder.chmod(0o755)
        if own:
            sides = _sides(settings.first_dsn, settings.second_dsn)
            yield Place(*sides, settings.redis_dsn, None, folder, _environment())
            return
        with embedded_pair(folder / "pair", user="postgres", password="postgres") as pair:  # noqa: S106 - gone soon
            sides = _sides(pair.first.dsn, pair.second.dsn)
            yield Place(*sides, pair.redis.dsn, pair, folder, _environment())


def _environment() -> dict[str, str]:
    return {**os.environ, "SNK_TABLES": table.NAME}


def _introduce(console: Console, place: Place) -> None:
    for side in place.sides:
        where = side.dsn if place.pair else side.address
        console.print(f"{side.label:8}{where}", soft_wrap=True, markup=False)
    if not place.pair:
        console.print(f"the table {table.NAME} is made there, and dropped at the end; SNK's own schema stays")


def _run(place: Place, faults: Sequence[Fault], seconds: float, console: Console) -> Result:
    try:
        with shown(console, len(faults)) as board:
            return uvloop.run(_drill(place, faults, seconds, board))
    finally:
        end_undisturbed()


async def _drill(place: Place, faults: Sequence[Fault], seconds: float, board: Board) -> Result:
    """Run the drill; a stop signal ends it early and cleanly."""
    drill = Drill(place, faults, seconds, board)
    task = asyncio.create_task(drill.run())
    when_told_to_stop(task.cancel)
    try:
        await asyncio.wait((task,))
        if not task.cancelled():
            task.result()
    finally:
        drill.kill_daemons()
    return drill.result()


def _tell(result: Result, console: Console, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result.document()))
        return
    conclude(console, result.outcomes, told=not console.is_terminal)
    if not result.complete:
        console.print("[yellow]the drill was stopped before its end[/]")
    console.print(f"[{'bold green' if result.held else 'bold red'}]{result.last_line()}[/]")


def _exit_code(result: Result) -> int:
    """0 if everything held, 1 if not, 2 if the result is unknown."""
    if result.held:
        return 0
    if not result.findings.clean or any(o.verdict not in ("held", "skipped") for o in result.outcomes):
        return 1
    return TROUBLE
