"""The pages of tasks and groups."""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from snk.batch.definition import Group, Task
from snk.batch.platform import looking
from snk.batch.platform.census import census
from snk.batch.platform.defining import NotUnderstood, target_of
from snk.batch.platform.facts import facts_of
from snk.batch.platform.portal import finding
from snk.batch.platform.portal.drawing import durations
from snk.batch.platform.portal.finding import SORTS, STATES, Wanted
from snk.batch.platform.portal.viewing import Values, Viewing, choice_of, name_in, standing_of, text_of
from snk.batch.platform.rows import Row
from snk.batch.platform.why import told
from snk.http.portal.page import Page

LAST_RUNS = 30
NEXT_TICKS = 5


def wanted_of(request: Request, kind: str) -> Wanted:
    """Which tasks or groups the address asks for."""
    return Wanted(
        kind,
        text_of(request, "q"),
        choice_of(request, "state", STATES),
        text_of(request, "group"),
        choice_of(request, "sort", SORTS, "worst"),
    )


class TaskPages:
    """What they show."""

    def __init__(self, viewing: Viewing) -> None:
        self._viewing = viewing

    def pages(self) -> list[Page]:
        """All of them."""
        return [
            Page("/", "Tasks", "tasks.html", self._tasks, ("census", "tasks"), "Tasks"),
            Page("/groups", "Groups", "groups.html", self._groups, ("groups",), "Groups"),
            Page("/tasks/{name}", "Task", "task.html", self._task, ("task",)),
        ]

    async def _tasks(self, request: Request) -> Values:
        wanted = wanted_of(request, "task")

        async def ask(connection: AsyncConnection) -> Values:
            return {
                "census": await census(connection),
                "found": await finding.tasks(connection, wanted),
                "groups": await finding.groups(connection),
            }

        common = {"wanted": wanted, "states": STATES, "sorts": SORTS, "standing_of": standing_of}
        return {**common, "query": request.url.query, **await self._viewing.asked(ask)}

    async def _groups(self, request: Request) -> Values:
        wanted = wanted_of(request, "group")

        async def ask(connection: AsyncConnection) -> Values:
            found = await finding.tasks(connection, wanted)
            return {"found": found}

        common = {"wanted": wanted, "states": STATES, "sorts": SORTS, "standing_of": standing_of}
        return {**common, **await self._viewing.asked(ask)}

    async def _task(self, request: Request) -> Values:
        name = name_in(request)

        async def ask(connection: AsyncConnection) -> Values:
            task = await looking.task(connection, name)
            found = await finding.tasks(connection, Wanted(task["kind"], names=[name]))
            runs = await looking.runs(connection, name, [], looking.Part(LAST_RUNS))
            facts = await facts_of(connection, name)
            return {
                "title": name,
                "task": task,
                "row": found.rows[0],
                "groups": await finding.groups_of(connection, name),
                "members": await _members(connection, task),
                "why": told(facts),
                "runs": runs,
                "live_runs": await finding.live_of(connection, name),
                "bars": durations(runs),
                "slowest": max((run["seconds"] for run in runs if run["seconds"] is not None), default=None),
                **_defined(task, facts.next_tick),
            }

        return {"standing_of": standing_of, **await self._viewing.asked(ask)}


async def _members(connection: AsyncConnection, task: Row) -> list[Row]:
    """The tasks of a group, in its order."""
    if task["kind"] != "group":
        return []
    names = task["definition"].get("tasks", [])
    found = await finding.tasks(connection, Wanted("task", names=names))
    return sorted(found.rows, key=lambda row: names.index(row["name"]))


def _defined(task: Row, next_tick: Any) -> Mapping[str, Any]:
    """A definition for people, and the next ticks of its calendar."""
    try:
        target = target_of(task["name"], task["kind"], task["definition"])
    except NotUnderstood as error:
        return {"settings": [], "files": [], "strange": str(error), "ticks": []}
    ticks = []
    if target.calendar and next_tick is not None:
        ticks = [next_tick, *islice(target.calendar.after(next_tick), NEXT_TICKS - 1)]
    files = target.files.items() if isinstance(target, Task) else ()
    return {
        "settings": list(_settings(target, task["definition"])),
        "files": [(name, file, json.dumps(file.options, indent=2, ensure_ascii=False)) for name, file in files],
        "strange": "",
        "ticks": [each.isoformat() for each in ticks],
    }


def _settings(target: Task | Group, definition: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    for name, value in target.model_dump(mode="json").items():
        if name != "files":
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield name, shown or "-", name in definition
