"""``snk batch consumer runs``: what the consumers on this database work on, and have worked on."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from snk.batch.commands.common import asked_of, brief, counts_of, fitted, run_words
from snk.batch.consumer import looking
from snk.batch.consumer.settings import load_dsn
from snk.batch.consumer.tables import TABLES
from snk.core.shown import plain
from snk.options import Config, Json


def runs(
    *,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=10_000)] = 20,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """List the newest runs with their files, newest first: when each was called first, how long it took, and so on."""
    found = asked_of(TABLES, load_dsn(config), lambda connection: looking.runs(connection, limit))
    if as_json:
        print(json.dumps({"runs": found}))
        return
    for each in found:
        for line in _lines(each):
            print(fitted(plain(line)))
    if not found:
        print("no runs")


def _lines(run: dict[str, Any]) -> Iterator[str]:
    holder = f"{run['holder']} works on it" if run["holder"] else ""
    unsent = "its report is not sent yet" if run["unsent"] else ""
    parts = [*run_words(run["number"], run), holder, unsent, *brief(run["payload_begins"])]
    yield "  ".join(part for part in parts if part)
    for file in run["files"]:
        yield f"  file  {file['state']:<12} {file['name']}  {counts_of(file)}".rstrip()
        if file["reason"]:
            yield f"        {file['reason']}"
