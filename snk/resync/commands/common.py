"""What several commands share: options, settings, and how a check is printed."""

import json
from pathlib import Path
from typing import Annotated

import typer

from snk.resync.check import Checked
from snk.resync.model import Limits
from snk.resync.report import applied_as_json, as_json, done, lines
from snk.resync.run import Confirm, Place, Resync, Round
from snk.resync.settings import Resync as Settings
from snk.resync.settings import load_settings

Grace = Annotated[
    float | None, typer.Option(min=0, max=600, help="A difference counts if it is still there after so many seconds.")
]
Live = Annotated[bool, typer.Option("--while-live", help="Write even if the project is in process.")]
Project = Annotated[str, typer.Argument(help="The id of a project; all its tasks are looked at.")]


def place_of(settings: Settings, grace: float | None = None) -> Place:
    """Where the two sides are."""
    return Place(
        settings.database_dsn,
        settings.redis_dsn,
        settings,
        Limits(settings.row.unassigned, settings.most_rows),
        settings.grace_seconds if grace is None else grace,
        settings.timeout_seconds,
        settings.statement_seconds,
    )


def place(config: Path | None, grace: float | None = None) -> Place:
    """Where the two sides are, as the settings say."""
    return place_of(load_settings(config), grace)


async def synchronise(resync: Resync, project: str, confirm: Confirm, *, json_wanted: bool = False) -> bool:
    """Check a project, repair what is confirmed, and check again; print all of it. Whether it is equal at the end."""
    before = after = await resync.sides.checker.check(project)
    if not json_wanted:
        show(before)
    rounds: list[Round] = []
    async for each in resync.run(before, confirm):
        rounds.append(each)
        if not json_wanted:
            for line in done(each.plan, each.overtaken):
                print(line)
    if rounds:
        after = await resync.sides.checker.check(project)
    if json_wanted:
        applied = [applied_as_json(each) for each in rounds]
        print(json.dumps({"before": as_json(before), "applied": applied, "after": as_json(after)}))
    elif rounds:
        print("second check:")
        show(after)
    return after.equal


def show(checked: Checked, *, json_wanted: bool = False) -> None:
    """Print a check."""
    if json_wanted:
        print(json.dumps(as_json(checked)))
    else:
        for line in lines(checked):
            print(line)
