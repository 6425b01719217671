"""The command ``snk``. Exit codes of every command: 0 fine or equal, 1 different or unhealthy, 2 trouble."""

import gc
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Annotated

import typer

from snk import __version__
from snk.cli.inherited import settle
from snk.errors import SnkError
from snk.pair.commands import COMMANDS

GROUPS = {
    "conflicts": "snk.pair.commands.conflicts",
    "resync": "snk.resync.commands.group",
    "handoff": "snk.handoff.commands.group",
    "pipeline": "snk.pipeline.commands.group",
    "serve": "snk.serve.commands.group",
    "batch": "snk.batch.commands.group",
    "portal": "snk.portal.commands.portal",
}
"""Commands that have commands of their own: the module, whose function ``group`` makes them."""
INTERRUPTED = 130  # the code that a shell reports for a program ended by Ctrl-C

app = typer.Typer(
    name="snk",
    help="Find what is missing between two places, bring it over exactly once, and prove it: tables in two PostgreSQL"
    " databases, in real time; with `snk resync`, counters in Redis and the rows that they count; with `snk handoff`,"
    " the writes that an HTTP backend missed; with `snk pipeline`, every minute of records from one server to another;"
    " with `snk serve`, tables over HTTP; with `snk batch`, the files of scheduled tasks. `snk portal` shows all"
    " of them in a browser.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _needed(words: Sequence[str]) -> list[str]:
    """The command that is called, or all commands if none is named: importing all of them takes a second."""
    first = words[0] if words else ""
    if first == "--version":
        return []
    return [first] if first in COMMANDS or first in GROUPS else [*COMMANDS, *GROUPS]


def _take_up(commands: Sequence[str]) -> None:
    # Imported objects stay alive; scanning them for garbage repeatedly takes a tenth of a second.
    gc.disable()
    for name in commands:
        if name in GROUPS:
            app.add_typer(import_module(GROUPS[name]).group(sys.argv[2:]), name=name)
        else:
            app.command()(getattr(import_module(COMMANDS[name]), name))
    gc.freeze()
    gc.enable()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"snk {__version__}")
        raise typer.Exit


@app.callback()
def snk(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What all commands have in common."""


def main() -> None:
    """Run the command line. For an error that SNK knows, print its message and exit with code 2."""
    settle()
    try:
        _take_up(_needed(sys.argv[1:]))
        app()
    except KeyboardInterrupt:  # during the import of commands; later, Typer handles it and exits with this code
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - for any error, exit code 1 would mean "different"
        known = list(_known(error))
        if not known:
            traceback.print_exception(error)  # a defect, so print the full traceback
        for sentence in known:
            print(f"snk: {sentence}", file=sys.stderr)
        sys.exit(2)


def _known(error: Exception) -> Iterator[SnkError]:
    """SNK's own errors among those raised by concurrent tasks; none if any other error is among them."""
    if isinstance(error, ExceptionGroup):
        if error.split(SnkError)[1] is None:
            for part in error.exceptions:
                yield from _known(part)
    elif isinstance(error, SnkError):
        yield error
