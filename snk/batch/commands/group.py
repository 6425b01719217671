"""The group ``snk batch``: its commands."""

from collections.abc import Sequence

import typer

from snk.batch.commands import COMMANDS
from snk.groups import take_up


def group(words: Sequence[str]) -> typer.Typer:
    """The group with the command that these words call, or all commands if they ask for help."""
    app = typer.Typer(
        help="Schedule work between systems: call consumers until they have loaded and reconciled every file.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    first = words[0] if words else ""
    take_up(app, COMMANDS, [first] if first in COMMANDS else COMMANDS, words)
    return app
