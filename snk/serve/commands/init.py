"""``snk serve init``: create the table of keys."""

from typing import Annotated

import typer
import uvloop

from snk.db.server import Server
from snk.options import Config
from snk.serve.answered import KEYS, prepare, printed
from snk.serve.settings import load_dsn


def init(
    *,
    print_only: Annotated[bool, typer.Option("--print", help="Only print the SQL, to be run by hand.")] = False,
    config: Config = None,
) -> None:
    """Create the schema snk and the table of Idempotency-Keys in the database. Repeat it as you like."""
    if print_only:
        print(printed(), end="")
        return
    server = Server("database", load_dsn(config))
    created = uvloop.run(prepare(server))
    print(f"{server.address}: " + (f"created {KEYS.fullname}" if created else "nothing was missing"))
