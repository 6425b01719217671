"""The group ``snk resync``: its commands, and what ``snk resync PROJECT`` means."""

from collections.abc import Sequence

import typer
from typer.core import TyperGroup

from snk.groups import take_up
from snk.resync.commands import COMMANDS, DEFAULT


class _Group(TyperGroup):
    """A group in which a project may stand where a command is expected."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Put the default command before a project or its options."""
        if args and args[0] not in COMMANDS and args[0] != "--help":
            args = [DEFAULT, *args]
        return list(super().parse_args(ctx, args))


def group(words: Sequence[str]) -> typer.Typer:
    """The group with the command that these words call, or all commands if they ask for help."""
    app = typer.Typer(
        cls=_Group,
        help="Check counters in Redis against rows in a database; explain and repair what differs, by adding only.",
        epilog="`snk resync PROJECT` checks a project, asks, synchronises, and checks again.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    first = words[0] if words else "--help"
    take_up(app, COMMANDS, COMMANDS if first == "--help" else [first if first in COMMANDS else DEFAULT], words)
    return app
