"""The group ``snk batch consumer``: its commands, and what it means alone."""

from collections.abc import Sequence

import typer

from snk.batch.commands.consumer import COMMANDS, DEFAULT
from snk.groups import with_default


def group(words: Sequence[str]) -> typer.Typer:
    """The group with the command that these words call, or all commands if they ask for help."""
    about = "Load and reconcile the files of tasks when the platform calls."
    return with_default(COMMANDS, DEFAULT, words, about=about, alone="`snk batch consumer` alone runs the consumer.")
