"""``snk batch consumer runs``: what the consumers on this database work on, and have worked on."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from snk.batch.commands.common import asked_of, counts_of
from snk.batch.consumer import looking
from snk.batch.consumer.settings import load_settings
from snk.batch.consumer.tables import TABLES
from snk.core.shown import plain
from snk.options import Config, Json


def runs(
    *,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=10_000)] = 20,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """List the newest runs with their files, newest first."""
    found = asked_of(TABLES, load_settings(config).dsn, lambda connection: looking.runs(connection, limit))
    if as_json:
        print(json.dumps({"runs": found}))
        return
    for each in found:
        for line in _lines(each):
            print(plain(line))
    if not found:
        print("no runs")


def _lines(run: dict[str, Any]) -> Iterator[str]:
    holder = f"{run['holder']} works on it" if run["holder"] else ""
    unsent = "its report is not sent yet" if run["unsent"] else ""
    yield "  ".join(part for part in (f"{run['number']:>6}  {run['state']:<12} {run['task']}", holder, unsent) if part)
    for file in run["files"]:
        counts = counts_of(file)
        parts = (f"  file  {file['state']:<12} {file['name']}", counts, file["reason"])
        yield "  ".join(part for part in parts if part)
