"""``snk batch export``: write the platform's tasks and groups as a file that `snk batch apply` reads."""

from pathlib import Path
from typing import Annotated

import tomli_w
import typer
import uvloop

from snk.batch.changes import Stored
from snk.batch.platform import defining
from snk.batch.platform.tables import TABLES
from snk.batch.settings import load_dsn
from snk.db.server import Server
from snk.files.atomic import write_whole
from snk.options import Config


def export(
    file: Annotated[Path | None, typer.Argument(help="Where to write it; otherwise it is printed.")] = None,
    *,
    config: Config = None,
) -> None:
    """Write all tasks and groups as TOML. Settings that have their default are left out."""
    found = uvloop.run(_stored(Server("database", load_dsn(config))))
    tables: dict[str, dict[str, object]] = {"task": {}, "group": {}}
    for (kind, name), definition in sorted(found.items()):
        tables[kind][name] = definition
    text = tomli_w.dumps({kind: table for kind, table in tables.items() if table})
    if file is None:
        print(text, end="")
    else:
        write_whole(file, text)


async def _stored(server: Server) -> Stored:
    async with server.connect() as connection:
        await TABLES.check(connection, server.address)
        return await defining.stored(connection)
