"""Groups of commands: only what is called is imported, because importing everything takes a second."""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module

import typer


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


def _common() -> None:
    """What all commands have in common."""
