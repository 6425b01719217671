"""The group ``snk serve``: its commands, and what ``snk serve`` alone means."""

from collections.abc import Sequence

import typer

from snk.groups import with_default
from snk.serve.commands import COMMANDS, DEFAULT


def group(words: Sequence[str]) -> typer.Typer:
    """The group with the command that these words call, or all commands if they ask for help."""
    about = "Serve tables over HTTP: pages, frames and digests to read, single records and batches to write."
    return with_default(COMMANDS, DEFAULT, words, about=about, alone="`snk serve` alone runs the service.")
