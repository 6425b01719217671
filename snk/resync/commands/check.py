"""``snk resync check``: compare both sides of one project or of all."""

import json
from typing import Annotated

import typer
import uvloop

from snk.errors import SettingsError
from snk.resync.check import Checked
from snk.resync.commands.common import Config, Grace, Json, place, show
from snk.resync.report import as_json
from snk.resync.run import Place, sides


def check(
    project: Annotated[str | None, typer.Argument(help="The id of a project; all its tasks are looked at.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Check every project.")] = False,
    as_json: Json = False,
    grace: Grace = None,
    config: Config = None,
) -> None:
    """Compare both sides; never writes. Exit code 0 if they are equal, 1 if they differ, 2 if that is unknown."""
    if (project is None) != every:
        raise SettingsError("`snk resync check` needs one project or --all", hint="`snk resync check --all` takes all")
    equal = uvloop.run(_check(place(config, grace), project, json_wanted=as_json))
    raise typer.Exit(0 if equal else 1)


async def _check(where: Place, project: str | None, *, json_wanted: bool) -> bool:
    equal = True
    found: list[Checked] = []
    async with sides(where) as both:
        if project is not None:
            checked = await both.checker.check(project)
            show(checked, json_wanted=json_wanted)
            return checked.equal
        async for checked in both.checker.check_all():
            equal = equal and checked.equal
            if json_wanted:
                found.append(checked)
            else:
                show(checked)
    if json_wanted:
        print(json.dumps({"equal": equal, "projects": [as_json(each) for each in found]}))
    return equal
