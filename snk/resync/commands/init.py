"""``snk resync init``: create the journal."""

from typing import Annotated

import typer
import uvloop

from snk.db.journal import prepare, printed
from snk.db.server import Server
from snk.options import Config
from snk.resync.run import JOURNAL_HINT
from snk.resync.settings import load_settings


def init(
    *,
    print_only: Annotated[bool, typer.Option("--print", help="Only print the SQL, to be run by hand.")] = False,
    config: Config = None,
) -> None:
    """Create the journal in the database. The first synchronisation does it, too, if its user may."""
    if print_only:
        print(printed(), end="")
        return
    server = Server("database", load_settings(config).database_dsn)
    print(
        f"{server.address}: "
        + ("created the journal" if uvloop.run(prepare(server, JOURNAL_HINT)) else "nothing was missing")
    )
