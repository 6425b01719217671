"""The group ``snk handoff``: its commands."""

from collections.abc import Sequence

import typer

from snk.groups import take_up
from snk.handoff.commands import COMMANDS


def group(words: Sequence[str]) -> typer.Typer:
    """The group with the command that these words call, or all commands if they ask for help."""
    app = typer.Typer(
        help="Replay the writes that an HTTP backend missed, from local logs, each once and in order.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    first = words[0] if words else ""
    take_up(app, COMMANDS, [first] if first in COMMANDS else COMMANDS, words)
    return app
