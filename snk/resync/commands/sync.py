"""``snk resync PROJECT``: check, ask, synchronise, and check again."""

import json
from dataclasses import dataclass
from typing import Annotated

import typer
import uvloop

from snk.core.plan import Plan, Question, confirmed
from snk.errors import SettingsError
from snk.options import Config, Json
from snk.resync.check import Checked
from snk.resync.commands.common import Grace, Live, Project, place, show, synchronise
from snk.resync.model import Part, Repair
from snk.resync.report import PROMPTS, as_json, details
from snk.resync.run import Place, Resync, Sides, locked, planned, sides
from snk.resync.script import script
from snk.terminal import answer


@dataclass(frozen=True, slots=True)
class _How:
    """What the command line says."""

    project: str
    yes: bool
    dry_run: bool
    printing: bool
    json_wanted: bool
    while_live: bool


def sync(
    project: Project,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Answer Y to every question.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and end.")] = False,
    printing: Annotated[bool, typer.Option("--print", help="As --dry-run, as SQL and commands of Redis.")] = False,
    as_json: Json = False,
    while_live: Live = False,
    grace: Grace = None,
    config: Config = None,
) -> None:
    """Check a project, ask, synchronise, and check again.

    Exit code 0 if both sides are equal at the end, 1 if they differ, 2 if the project is in process or locked, or a
    server cannot be reached.
    """
    if as_json and not (yes or dry_run):
        raise SettingsError("--json cannot ask questions", hint="Add --yes or --dry-run")
    how = _How(project, yes, dry_run or printing, printing, as_json, while_live)
    raise typer.Exit(0 if uvloop.run(_sync(place(config, grace), how)) else 1)


async def _sync(where: Place, how: _How) -> bool:
    async with sides(where) as both:
        if how.dry_run:
            checked = await both.checker.check(how.project)
            await _show_plan(both, checked, how)
            return checked.equal
        async with locked(both.server, how.project):
            resync = Resync(both, how.while_live)
            return await synchronise(
                resync, how.project, lambda part, plan: _confirmed(part, plan, how), json_wanted=how.json_wanted
            )


async def _show_plan(both: Sides, checked: Checked, how: _How) -> None:
    plan = planned(checked)
    if how.json_wanted:
        print(json.dumps({**as_json(checked), "plan": json.loads(plan.written())}))
    elif how.printing:
        print(await script(both, plan), end="")
    else:
        show(checked)
        for line in details(plan):
            print(line)


def _confirmed(part: Part, plan: Plan[Repair], how: _How) -> bool:
    def show_details() -> None:
        for line in details(plan):
            print(line)

    question = Question(PROMPTS[part], declined="not synchronised", exact=True)
    return how.yes or confirmed(question, answer, show_details, print)
