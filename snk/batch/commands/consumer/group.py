"""The group ``snk batch consumer``: its commands, and what it means alone."""

from collections.abc import Sequence

import typer
from typer.core import TyperGroup

from snk.batch.commands.consumer import COMMANDS, DEFAULT
from snk.groups import take_up


class _Group(TyperGroup):
    """A group that runs the consumer if no command is named."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Put the default command before its options."""
        if not args or (args[0] not in COMMANDS and args[0] != "--help"):
            args = [DEFAULT, *args]
        return list(super().parse_args(ctx, args))


def group(words: Sequence[str]) -> typer.Typer:
    """The group with the command that these words call, or all commands if they ask for help."""
    app = typer.Typer(
        cls=_Group,
        help="Load and reconcile the files of tasks when the platform calls.",
        epilog="`snk batch consumer` alone runs the consumer.",
        no_args_is_help=False,
        rich_markup_mode=None,
    )
    first = words[0] if words else DEFAULT
    take_up(app, COMMANDS, COMMANDS if first == "--help" else [first if first in COMMANDS else DEFAULT], words)
    return app
