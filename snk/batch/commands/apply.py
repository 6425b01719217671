"""``snk batch apply``: make the platform's tasks and groups what a file says."""

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import tomli_w
import typer
import uvloop
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.changes import Change, changes
from snk.batch.commands.common import me
from snk.batch.definition import Definitions, checked, read_definitions
from snk.batch.platform import defining
from snk.batch.platform.doubting import doubts_of
from snk.batch.platform.tables import TABLES
from snk.batch.settings import load_dsn
from snk.core.plan import Question, confirmed
from snk.core.words import counted
from snk.db.server import Server
from snk.options import Config, Json
from snk.terminal import answer


def apply(
    file: Annotated[Path, typer.Argument(help="A file with tables [task.NAME] and [group.NAME].")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change; 1 if anything would.")
    ] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove tasks and groups that are not in the file.")] = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show what a file would change, ask, and change it all in one transaction."""
    server = Server("database", load_dsn(config))
    wanted = read_definitions(file)
    found, doubts = uvloop.run(_planned(server, wanted, prune=prune))
    for doubt in doubts:
        print(f"snk: {doubt}", file=sys.stderr)
    _show(found, as_json=as_json)
    if not found or dry_run:
        raise typer.Exit(1 if found else 0)
    while found:
        if not yes and not confirmed(Question("Change this?"), answer, partial(_detail, found), print):
            raise typer.Exit(1)
        made = uvloop.run(_apply(server, wanted, None if yes else found, prune=prune))
        if yes or made == found:
            break
        found = made
        print("Somebody else has changed definitions meanwhile, so this is what would change now:", file=sys.stderr)
        _show(found, as_json=as_json)
    if found and not as_json:
        print(f"{counted(len(made), 'change')} made")


async def _planned(server: Server, wanted: Definitions, *, prune: bool) -> tuple[list[Change], list[str]]:
    """The changes, and what may be wrong in the definitions."""
    async with server.begin() as connection:
        await TABLES.check(connection, server.address)
        return await _plan(connection, wanted, prune=prune), await doubts_of(connection, wanted)


async def _apply(server: Server, wanted: Definitions, agreed: list[Change] | None, *, prune: bool) -> list[Change]:
    """Make the changes unless others were agreed to; return them."""
    async with server.begin() as connection:
        await TABLES.check(connection, server.address)
        await defining.lock(connection)
        found = await _plan(connection, wanted, prune=prune)
        if agreed is None or found == agreed:
            await defining.apply(connection, found, me())
    return found


async def _plan(connection: AsyncConnection, wanted: Definitions, *, prune: bool) -> list[Change]:
    before, after = await defining.stored(connection), defining.as_stored(wanted)
    checked(defining.as_definitions(after if prune else {**before, **after}))
    return changes(before, after, prune=prune)


def _detail(found: Sequence[Change]) -> None:
    for one in found:
        for line in one.details(tomli_w.dumps):
            print(line)


def _show(found: Sequence[Change], *, as_json: bool) -> None:
    if as_json:
        each = [{"kind": one.kind, "name": one.name, "before": one.before, "after": one.after} for one in found]
        print(json.dumps({"changes": each}))
        return
    for one in found:
        for line in one.lines():
            print(line)
    if not found:
        print("nothing would change")
