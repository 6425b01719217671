"""``snk rejected`` and ``snk retry``: list rows that a database refuses, and retry them."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
import uvloop

from snk.db.server import Server
from snk.errors import SettingsError
from snk.options import Json
from snk.pair.commands.common import databases_of, start, uuid_of
from snk.pair.sync.pair import Pair
from snk.pair.table.rejects import RejectedRow, hasten, rejected_rows


@dataclass(frozen=True, slots=True)
class SetAside:
    """The rows that one database has set aside."""

    server: Server
    count: int
    rows: list[RejectedRow]


def rejected(
    *,
    as_json: Json = False,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of rows to list per database.")] = 20,
) -> None:
    """List the rows that either database has set aside, and why. Exit code 0 if there are none, 1 if there are."""
    sides = uvloop.run(_look(databases_of(start()), limit))
    if as_json:
        told = {side.server.label: {"count": side.count, "rows": [asdict(row) for row in side.rows]} for side in sides}
        print(json.dumps(told, default=str))
    else:
        for side in sides:
            _show(side)
    raise typer.Exit(1 if any(side.count for side in sides) else 0)


def retry(
    uuids: Annotated[list[str] | None, typer.Argument(help="Uuids of the rows; without any, all rows.")] = None,
) -> None:
    """Make the daemon retry refused rows now. Without this command, it retries each row when its retry time comes."""
    named = [uuid_of(text) for text in uuids or ()]
    counts = uvloop.run(_hasten(databases_of(start()), named))
    if named and not any(count for _, count in counts):
        raise SettingsError("none of these rows has been refused", hint="`snk rejected` lists those that are")
    for label, count in counts:
        print(f"{label}: {_rows(count)} tried again")


def _rows(count: int) -> str:
    return "1 row is" if count == 1 else f"{count:,} rows are"


async def _look(pair: Pair, limit: int) -> list[SetAside]:
    sides: list[SetAside] = []
    for server in (pair.first, pair.second):
        async with server.connect() as connection:
            sides.append(SetAside(server, *await rejected_rows(connection, limit)))
    return sides


async def _hasten(pair: Pair, uuids: list[str]) -> list[tuple[str, int]]:
    counts: list[tuple[str, int]] = []
    for server in (pair.first, pair.second):
        async with server.connect() as connection:
            counts.append((server.label, await hasten(connection, uuids)))
    return counts


def _show(side: SetAside) -> None:
    print(f"{side.server.address} has set aside {side.count:,} row{'' if side.count == 1 else 's'}")
    for row in side.rows:
        print(f"  {row.table_name} {row.uuid}  {row.sqlstate or '-'} {row.error}")
        since, then = (f"{snapshot:%Y-%m-%d %H:%M:%S}" for snapshot in (row.first_at, row.next_at))
        print(f"    tried {row.tries} times since {since}, next at {then} UTC")
    if side.count > len(side.rows) > 0:
        print(f"  and {side.count - len(side.rows):,} more; --limit shows more of them")
