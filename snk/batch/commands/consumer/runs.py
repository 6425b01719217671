"""``snk batch consumer runs``: what the consumers on this database work on, and have worked on."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer
import uvloop

from snk.batch.consumer import looking
from snk.batch.consumer.settings import load_settings
from snk.batch.consumer.tables import TABLES
from snk.core.shown import plain
from snk.db.server import Server
from snk.options import Config, Json

COUNTS = ("expected", "received", "applied", "rejected")


def runs(
    *,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=10_000)] = 20,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """List the newest runs with their files, newest first."""
    found = uvloop.run(_runs(Server("database", load_settings(config).dsn), limit))
    if as_json:
        print(json.dumps({"runs": found}))
        return
    for each in found:
        for line in _lines(each):
            print(plain(line))
    if not found:
        print("no runs")


async def _runs(server: Server, limit: int) -> list[dict[str, Any]]:
    async with server.snapshot() as connection:
        await TABLES.check(connection, server.address)
        return await looking.runs(connection, limit)


def _lines(run: dict[str, Any]) -> Iterator[str]:
    holder = f"{run['holder']} works on it" if run["holder"] else ""
    unsent = "its report is not sent yet" if run["unsent"] else ""
    yield "  ".join(part for part in (f"{run['number']:>6}  {run['state']:<12} {run['task']}", holder, unsent) if part)
    for file in run["files"]:
        counts = ", ".join(f"{name} {file[name]:,}" for name in COUNTS if file[name] is not None)
        parts = (f"  file  {file['state']:<12} {file['name']}", counts, file["reason"])
        yield "  ".join(part for part in parts if part)
