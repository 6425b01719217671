"""The group ``snk pipeline``: its commands."""

from collections.abc import Sequence
from importlib import import_module

import typer

from snk.pipeline.commands import COMMANDS

GROUPS = ("quarantine",)


def group(words: Sequence[str]) -> typer.Typer:
    """The group with the command that these words call, or all commands if they ask for help."""
    app = typer.Typer(
        help="Pull every minute of records from one server, push them one by one to another, each once, and prove it.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    app.callback()(_group)
    first = words[0] if words else ""
    for name in [first] if first in COMMANDS else COMMANDS:
        module = import_module(COMMANDS[name])
        if name in GROUPS:
            app.add_typer(module.group(words[1:]), name=name)
        else:
            app.command(name)(getattr(module, name))
    return app


def _group() -> None:
    """What all commands have in common."""
