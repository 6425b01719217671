"""The command ``snk``. Exit codes of every command: 0 fine or equal, 1 different or not healthy, 2 trouble."""

import sys
import traceback
from collections.abc import Iterator
from typing import Annotated

import typer

from snk import __version__
from snk.cli.doctor import doctor
from snk.cli.drill import drill
from snk.cli.init import init
from snk.cli.rejected import rejected, retry
from snk.cli.run import run
from snk.cli.status import status
from snk.cli.up import up
from snk.cli.verify import verify
from snk.errors import SnkError

app = typer.Typer(
    name="snk",
    help="Keep tables in two PostgreSQL databases equal, in both directions, in real time.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (up, drill, doctor, init, run, status, verify, rejected, retry):
    app.command()(command)


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
    try:
        app()
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
