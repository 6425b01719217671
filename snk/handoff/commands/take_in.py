"""``snk handoff import``: take old logs into the folder of a backend."""

from pathlib import Path
from typing import Annotated

import typer

from snk.handoff.commands.common import checked_backend
from snk.handoff.settings import load_settings
from snk.handoff.taking import take
from snk.options import Config


def take_in(
    files: Annotated[list[Path], typer.Argument(help="Logs, in their order; they are copied, and stay as they are.")],
    *,
    to: Annotated[str, typer.Option("--to", metavar="HOST:PORT", help="The backend that missed these writes.")],
    config: Config = None,
) -> None:
    """Copy logs into the folder of a backend, where they are sent like any other.

    A log keeps its name if that is the name of a log and free; otherwise it gets the next free one.
    """
    settings = load_settings(config)
    for file, path in take(files, settings.logs, checked_backend(to)):
        print(f"{file} -> {path}")
