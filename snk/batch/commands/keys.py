"""``snk batch keys``: the platform's own signing keys."""

from collections.abc import Sequence

import typer

from snk.batch.settings import load_keys
from snk.http.commands.keys import keys_group


def group(_: Sequence[str]) -> typer.Typer:
    """The commands."""
    return keys_group("batch", load_keys)
