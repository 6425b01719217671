"""The command ``snk``. Exit codes of every command: 0 fine or equal, 1 different or not healthy, 2 trouble."""

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

INTERRUPTED = 130  # as a shell says of a program that Ctrl-C has ended

app = typer.Typer(
    name="snk",
    help="Keep tables in two PostgreSQL databases equal, in both directions, in real time.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _needed(words: Sequence[str]) -> list[str]:
    """The command that is called, or all where none is: to import all of them takes a second."""
    first = words[0] if words else ""
    if first == "--version":
        return []
    return [first] if first in COMMANDS else list(COMMANDS)


def _take_up(commands: Sequence[str]) -> None:
    # What is imported stays; to look through it for garbage again and again takes a tenth of a second.
    gc.disable()
    for name in commands:
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
    """Run the command line; an error that SNK knows ends with its own sentence and exit code 2."""
    settle()
    try:
        _take_up(_needed(sys.argv[1:]))
        app()
    except KeyboardInterrupt:  # while commands were imported; later, it is Typer who answers so
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - whatever it is, 1 would mean "different"
        known = list(_known(error))
        if not known:
            traceback.print_exception(error)  # a defect, so all of it is wanted
        for sentence in known:
            print(f"snk: {sentence}", file=sys.stderr)
        sys.exit(2)


def _known(error: Exception) -> Iterator[SnkError]:
    """SNK's own errors in what tasks that ran side by side raised; none if anything else is among them."""
    if isinstance(error, ExceptionGroup):
        if error.split(SnkError)[1] is None:
            for part in error.exceptions:
                yield from _known(part)
    elif isinstance(error, SnkError):
        yield error
