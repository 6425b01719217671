"""``snk plan``: what a first run on two databases that already hold data will do."""

import json
import sys
from dataclasses import asdict

import typer
import uvloop

from snk.db.pooler import refuse_shared_sessions
from snk.options import Json
from snk.pair.commands.common import checked_settings, pair_of
from snk.pair.repair.survey import Survey, survey
from snk.pair.sync.pair import Pair


def plan(
    *,
    as_json: Json = False,
) -> None:
    """Count the rows that are only on one side, on both, or in conflict, before the first run. Changes nothing.

    Exit code 0 if both sides are equal already, 1 if not.
    """
    pair = pair_of(checked_settings())
    surveys = uvloop.run(_survey(pair))
    if as_json:
        print(json.dumps({"tables": [{**asdict(each), "copy_seconds": each.copy_seconds} for each in surveys]}))
    else:
        for each in surveys:
            _show(each)
    different = any(each.only_in_first or each.only_in_second or each.conflicts for each in surveys)
    raise typer.Exit(1 if different or pair.left_out else 0)


async def _survey(pair: Pair) -> list[Survey]:
    for server in (pair.first, pair.second):
        await refuse_shared_sessions(server)
    return [await survey(pair.first, pair.second, table, _tell) for table in pair.tables]


def _tell(what: str, done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"{what} {done:,}/{of:,}", end="\r", file=sys.stderr)


def _show(found: Survey) -> None:
    print(f"{found.table} ({found.seconds:.2f} s)")
    print(f"  only in first:  {found.only_in_first:,}, to be copied to second")
    print(f"  only in second: {found.only_in_second:,}, to be copied to first")
    print(f"  on both, equal: {found.both:,}")
    print(f"  in conflict:    {found.conflicts:,}, to be recorded and left alone")
    if found.only_in_first or found.only_in_second:
        print(f"  estimated time: {found.copy_seconds:,.0f} s at most for narrow rows; wide ones take longer")
