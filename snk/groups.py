"""Groups of commands: only what is called is imported, because importing everything takes a second."""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module

import typer
from typer.core import TyperGroup


def take_up(app: typer.Typer, commands: Mapping[str, str], wanted: Iterable[str], words: Sequence[str]) -> None:
    """Add commands to a group.

    A command is the function of its name in its module, or of the module's name where its own is a word of Python. If
    the module has a function ``group``, the command has commands of its own.

    Args:
        app: the group.
        commands: the module of each.
        wanted: the names of those that are added.
        words: what follows the group on the command line.
    """
    app.callback()(_common)
    for name in wanted:
        module = import_module(commands[name])
        if hasattr(module, "group"):
            app.add_typer(module.group(words[1:]), name=name)
        else:
            function = getattr(module, name.replace("-", "_"), None)
            app.command(name)(function or getattr(module, commands[name].rpartition(".")[2]))


def with_default(
    commands: Mapping[str, str], default: str, words: Sequence[str], *, about: str, alone: str
) -> typer.Typer:
    """A group that runs one of its commands if none is named.

    It has the command that the words call, or all commands if they ask for help, or name none that is there.

    Args:
        commands: the module of each.
        default: the command that is run; it takes options and no arguments.
        words: what follows the group on the command line.
        about: what the group is for.
        alone: what the group means without a command.
    """

    class Group(TyperGroup):
        """The group."""

        def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
            """Put the default command before its options; any other word is the name of a command."""
            if not args or (args[0].startswith("-") and args[0] != "--help"):
                args = [default, *args]
            return list(super().parse_args(ctx, args))

    app = typer.Typer(cls=Group, help=about, epilog=alone, no_args_is_help=False, rich_markup_mode=None)
    first = words[0] if words else default
    if first.startswith("-") and first != "--help":
        first = default
    take_up(app, commands, [first] if first in commands else commands, words)
    return app


def _common() -> None:
    """What all commands have in common."""
