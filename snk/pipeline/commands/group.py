"""The group ``snk pipeline``: its commands."""

from collections.abc import Sequence

import typer

from snk.groups import take_up
from snk.pipeline.commands import COMMANDS


def group(words: Sequence[str]) -> typer.Typer:
    """The group with the command that these words call, or all commands if they ask for help."""
    app = typer.Typer(
        help="Pull every minute of records from one server, push them one by one to another, each once, and prove it.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    first = words[0] if words else ""
    take_up(app, COMMANDS, [first] if first in COMMANDS else COMMANDS, words)
    return app
