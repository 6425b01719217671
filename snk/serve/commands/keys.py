"""``snk serve keys``: the service's own signing keys."""

from collections.abc import Sequence

import typer

from snk.http.commands.keys import keys_group
from snk.serve.settings import load_keys


def group(_: Sequence[str]) -> typer.Typer:
    """The commands."""
    return keys_group("serve", load_keys)
