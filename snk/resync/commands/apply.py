"""``snk resync apply``: apply a plan that was written down, exactly, or not at all."""

import json
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from snk.core.plan import Plan
from snk.files.plans import read_plan
from snk.options import Config, Json
from snk.resync.commands.common import Grace, Live, place, show
from snk.resync.model import Repair, repair_of
from snk.resync.report import applied_as_json, as_json, done
from snk.resync.run import KIND, Place, Resync, locked, sides
from snk.resync.script import script


def apply(
    file: Annotated[Path, typer.Argument(help="A file that `snk resync plan --out` wrote.")],
    *,
    printing: Annotated[bool, typer.Option("--print", help="Only print it as SQL and commands of Redis.")] = False,
    as_json: Json = False,
    while_live: Live = False,
    grace: Grace = None,
    config: Config = None,
) -> None:
    """Apply a plan, and check again. Refused with exit code 2 if it was applied before or is out of date."""
    equal = uvloop.run(
        _apply(
            place(config, grace),
            read_plan(file, KIND, repair_of),
            printing=printing,
            json_wanted=as_json,
            while_live=while_live,
        )
    )
    raise typer.Exit(0 if equal else 1)


async def _apply(where: Place, plan: Plan[Repair], *, printing: bool, json_wanted: bool, while_live: bool) -> bool:
    async with sides(where) as both:
        resync = Resync(both, while_live)
        if printing:
            print(await script(both, plan), end="")
            return True
        async with locked(both.server, plan.subject):
            applied = await resync.apply(plan)
            after = await both.checker.check(plan.subject)
    if json_wanted:
        print(json.dumps({"applied": [applied_as_json(applied)], "after": as_json(after)}))
        return after.equal
    for line in done(plan, applied.overtaken):
        print(line)
    print("second check:")
    show(after)
    return after.equal
