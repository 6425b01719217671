"""What several commands share: options, settings, and how a check is printed."""

import json
from pathlib import Path
from typing import Annotated

import typer

from snk.resync.check import Checked
from snk.resync.model import Limits
from snk.resync.report import as_json, lines
from snk.resync.run import Place
from snk.resync.settings import Resync, load_settings

Config = Annotated[Path | None, typer.Option(help="File of settings; default: SNK_CONFIG, or snk.toml.")]
Grace = Annotated[
    float | None, typer.Option(min=0, max=600, help="A difference counts if it is still there after so many seconds.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Live = Annotated[bool, typer.Option("--while-live", help="Write even if the project is in process.")]
Project = Annotated[str, typer.Argument(help="The id of a project; all its tasks are looked at.")]


def place_of(settings: Resync, grace: float | None = None) -> Place:
    """Where the two sides are."""
    return Place(
        settings.database_dsn,
        settings.redis_dsn,
        settings,
        Limits(settings.row.unassigned, settings.most_rows),
        settings.grace_seconds if grace is None else grace,
        settings.timeout_seconds,
        settings.statement_seconds,
    )


def place(config: Path | None, grace: float | None = None) -> Place:
    """Where the two sides are, as the settings say."""
    return place_of(load_settings(config), grace)


def show(checked: Checked, *, json_wanted: bool = False) -> None:
    """Print a check."""
    if json_wanted:
        print(json.dumps(as_json(checked)))
    else:
        for line in lines(checked):
            print(line)
