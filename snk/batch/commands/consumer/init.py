"""``snk batch consumer init``: create the consumer's tables, or bring them up to date."""

from typing import Annotated

import typer
import uvloop

from snk.batch.consumer.settings import load_settings
from snk.batch.consumer.tables import TABLES
from snk.db.server import Server
from snk.options import Config


def init(
    *,
    print_only: Annotated[bool, typer.Option("--print", help="Only print the SQL, to be run by hand.")] = False,
    config: Config = None,
) -> None:
    """Create the schema snk_batch_consumer, or bring its tables up to date. Repeat it as you like."""
    if print_only:
        print(TABLES.printed(), end="")
        return
    server = Server("database", load_settings(config).dsn)
    changed = uvloop.run(TABLES.upgrade(server))
    print(f"{server.address}: {TABLES.name} is {'now' if changed else 'already'} of version {TABLES.newest}")
