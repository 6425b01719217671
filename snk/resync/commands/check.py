"""``snk resync check``: compare both sides of one project or of all."""

import json
import sys
from typing import Annotated, Any

import typer
import uvloop

from snk.errors import ProjectUnfit, SettingsError
from snk.options import Config, Json
from snk.resync.commands.common import Grace, place, show
from snk.resync.report import as_json
from snk.resync.run import Place, sides


def check(
    project: Annotated[str | None, typer.Argument(help="The id of a project; all its tasks are looked at.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Check every project.")] = False,
    json_wanted: Json = False,
    grace: Grace = None,
    config: Config = None,
) -> None:
    """Compare both sides; never writes. Exit code 0 if they are equal, 1 if they differ, 2 if that is unknown."""
    if (project is None) != every:
        what = "needs a project or --all" if project is None else "takes a project or --all, not both"
        raise SettingsError(f"`snk resync check` {what}", hint="`snk resync check --all` checks all projects")
    raise typer.Exit(uvloop.run(_check(place(config, grace), project, json_wanted=json_wanted)))


async def _check(where: Place, project: str | None, *, json_wanted: bool) -> int:
    """Print what is found, and return the exit code."""
    async with sides(where) as both:
        if project is not None:
            checked = await both.checker.check(project)
            show(checked, json_wanted=json_wanted)
            return 0 if checked.equal else 1
        told: list[dict[str, Any]] = []
        code = 0
        async for found in both.checker.check_all():
            if isinstance(found, ProjectUnfit):
                print(f"snk: {found}", file=sys.stderr)
                code = 2
                continue
            code = max(code, 0 if found.equal else 1)
            if json_wanted:
                told.append(as_json(found))
            else:
                show(found)
    if json_wanted:
        print(json.dumps({"equal": code == 0, "projects": told}))
    return code
