"""``snk batch consumer rejected``: which records of a run are not valid, and why."""

import json
from typing import Annotated

import typer

from snk.batch.commands.common import asked_of
from snk.batch.consumer import looking
from snk.batch.consumer.settings import load_dsn
from snk.batch.consumer.tables import TABLES
from snk.core.shown import document, plain
from snk.options import Config, Json

MOST_SHOWN = 200


def rejected(
    run: Annotated[int, typer.Argument(help="The platform's number of the run.")],
    *,
    file: Annotated[str | None, typer.Option(help="Only of this file.")] = None,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=100_000)] = 100,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """List the records of a run that are not valid, with the reasons."""
    found = asked_of(TABLES, load_dsn(config), lambda connection: looking.rejected(connection, run, file, limit))
    if as_json:
        print(json.dumps({"rejected": found}))
        return
    for each in found:
        print(plain(f"{each['file']}, record {each['number']:,}: {'; '.join(each['reasons'])}"))
        print(f"  {document(each['record'])[:MOST_SHOWN]}")
    if not found:
        print("no rejected records")
