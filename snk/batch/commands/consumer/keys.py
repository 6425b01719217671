"""``snk batch consumer keys``: the consumer's own signing keys."""

from collections.abc import Sequence

import typer

from snk.batch.consumer.settings import load_auth
from snk.http.commands.keys import keys_group


def group(_: Sequence[str]) -> typer.Typer:
    """The commands."""
    return keys_group("consumer", load_auth, "snk batch consumer")
