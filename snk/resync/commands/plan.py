"""``snk resync plan``: write down what would be done."""

import json
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from snk.files.atomic import write_whole
from snk.options import Config, Json
from snk.resync.commands.common import Grace, Project, place, show
from snk.resync.report import as_json, details
from snk.resync.run import Place, planned, sides
from snk.resync.script import script


def plan(
    project: Project,
    *,
    out: Annotated[Path | None, typer.Option(help="Write the plan to this file, for `snk resync apply`.")] = None,
    printing: Annotated[bool, typer.Option("--print", help="Print it as SQL and commands of Redis.")] = False,
    as_json: Json = False,
    grace: Grace = None,
    config: Config = None,
) -> None:
    """Check a project and plan its synchronisation; never writes to either side. Exit code 1 if anything differs."""
    equal = uvloop.run(_plan(place(config, grace), project, out, printing=printing, json_wanted=as_json))
    raise typer.Exit(0 if equal else 1)


async def _plan(where: Place, project: str, out: Path | None, *, printing: bool, json_wanted: bool) -> bool:
    async with sides(where) as both:
        checked = await both.checker.check(project)
        made = planned(checked)
        if out and made.actions:
            write_whole(out, made.written() + "\n")
        if printing:
            print(await script(both, made), end="")
        elif json_wanted:
            print(json.dumps({**as_json(checked), "plan": json.loads(made.written())}))
        else:
            show(checked)
            for line in details(made):
                print(line)
            if out and made.actions:
                print(f"plan {made.id} is in {out}; `snk resync apply {out}` applies it")
            elif out:
                print(f"  nothing can be done, so {out} was not written")
        return checked.equal
