"""``snk init``: create what SNK needs in both databases."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import typer
import uvloop

from snk.pair.commands.common import databases_of, start
from snk.pair.schema.creation import printed
from snk.pair.schema.grants import granted
from snk.pair.schema.own import DEFAULT_TABLE
from snk.pair.sync.matching import chosen_in
from snk.pair.sync.pair import Pair
from snk.pair.sync.prepare import grant, prepare


def init(
    *,
    print_only: Annotated[bool, typer.Option("--print", help="Only print the SQL, to be run by hand.")] = False,
    role: Annotated[
        str | None, typer.Option(help="Also grant this role the rights that SNK needs to run as it.")
    ] = None,
) -> None:
    """Create SNK's schema in both databases, and the default table if the settings name it. Existing objects stay.

    With --role and patterns in SNK_TABLES, rights are granted to the tables that match now, not to later ones.
    """
    settings = start()
    pair = databases_of(settings)
    chosen = None
    if not settings.selection.plain and (role is not None or not print_only):
        chosen = uvloop.run(chosen_in(pair.first, pair.second, settings.selection))
        pair = replace(pair, tables=chosen.tables)
    if print_only:
        print(printed(default_table=DEFAULT_TABLE in pair.tables), end="")
        if role is not None:
            print("\n" + "".join(f"{statement};\n" for statement in granted(role, pair.tables)), end="")
        return
    uvloop.run(_init(pair, role, chosen.lacking if chosen else {}))


async def _init(pair: Pair, role: str | None, lacking: Mapping[str, str]) -> None:
    for server in (pair.first, pair.second):
        made = await prepare(server, pair.tables)
        print(f"{server.address}: " + (f"created {', '.join(made)}" if made else "nothing was missing"))
        if role is not None:
            await grant(server, role, tuple(table for table in pair.tables if lacking.get(table) != server.label))
            print(f"{server.address}: granted to {role} what SNK needs")
