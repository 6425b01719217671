"""``snk init``: create what SNK needs in both databases."""

from typing import Annotated

import typer
import uvloop

from snk.pair.commands.common import pair_of, start
from snk.pair.schema.creation import printed
from snk.pair.schema.grants import granted
from snk.pair.schema.own import DEFAULT_TABLE
from snk.pair.sync.pair import Pair
from snk.pair.sync.prepare import grant, prepare


def init(
    *,
    print_only: Annotated[bool, typer.Option("--print", help="Only print the SQL, to be run by hand.")] = False,
    role: Annotated[
        str | None, typer.Option(help="Also grant this role the rights that SNK needs to run as it.")
    ] = None,
) -> None:
    """Create SNK's schema in both databases, and the default table if the settings list it. Existing objects stay."""
    settings = start()
    if print_only:
        print(printed(default_table=DEFAULT_TABLE in settings.tables), end="")
        if role is not None:
            print("\n" + "".join(f"{statement};\n" for statement in granted(role, settings.tables)), end="")
        return
    uvloop.run(_init(pair_of(settings), role))


async def _init(pair: Pair, role: str | None) -> None:
    for server in (pair.first, pair.second):
        made = await prepare(server, pair.tables)
        print(f"{server.address}: " + (f"created {', '.join(made)}" if made else "nothing was missing"))
        if role is not None:
            await grant(server, role, pair.tables)
            print(f"{server.address}: granted to {role} what SNK needs")
