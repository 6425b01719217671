"""The pages of runs."""

import json
from collections.abc import Mapping
from urllib.parse import urlencode

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from snk.batch.platform import looking
from snk.batch.platform.portal import finding
from snk.batch.platform.portal.drawing import not_drawn, run_timeline
from snk.batch.platform.portal.viewing import Values, Viewing, choice_of, number_of, run_in, text_of
from snk.batch.platform.rows import Row
from snk.batch.state import LIVE, TRANSITIONS, UNSETTLED, Event, State
from snk.batch.wire import COUNTS
from snk.http.portal.page import Page

MOST_PARTS = 200
"""Of a run, so many files, calls, tasks and lines of the audit are shown."""
MOST_PAYLOAD = 4000
"""Characters."""
CHOICES: Mapping[str, frozenset[State]] = {
    "live": LIVE,
    "unsettled": UNSETTLED,
    **{state.lower(): frozenset((state,)) for state in State},
}
"""What a person may look for, and which states that is."""
DEEDS = {Event.CANCELLED: "cancel", Event.RERUN: "rerun", Event.SKIPPED: "skip"}


def states_of(request: Request) -> tuple[str, list[str]]:
    """The choice of the address, and its states; no states for all."""
    choice = choice_of(request, "state", tuple(CHOICES))
    return choice, sorted(CHOICES[choice]) if choice else []


def possible(state: State) -> list[str]:
    """What a person can do to a run in this state."""
    able = {Event.CANCELLED} if state in LIVE else {Event.RERUN, Event.SKIPPED}
    return [word for event, word in DEEDS.items() if event in able and (state, event) in TRANSITIONS]


class RunPages:
    """What they show."""

    def __init__(self, viewing: Viewing) -> None:
        self._viewing = viewing

    def pages(self) -> list[Page]:
        """All of them."""
        return [
            Page("/runs", "Runs", "runs.html", self._runs, ("runs",), "Runs"),
            Page("/runs/{run}", "Run", "run.html", self._run, ("run",)),
        ]

    async def _runs(self, request: Request) -> Values:
        task, (choice, states) = text_of(request, "task"), states_of(request)
        before = number_of(request.query_params.get("before", ""))
        part = looking.Part(finding.MOST_ROWS + 1, before)

        async def ask(connection: AsyncConnection) -> Values:
            runs = await looking.runs(connection, task or None, states, part)
            shown = runs[: finding.MOST_ROWS]
            older = (
                urlencode({"task": task, "state": choice, "before": shown[-1]["id"]}) if len(runs) > len(shown) else ""
            )
            return {"runs": shown, "older": older}

        query = urlencode({"task": task, "state": choice})
        common = {"task": task, "choice": choice, "choices": list(CHOICES), "query": query, "before": before}
        return {**common, **await self._viewing.asked(ask)}

    async def _run(self, request: Request) -> Values:
        number = run_in(request)

        async def ask(connection: AsyncConnection) -> Values:
            run = await looking.one(connection, number, MOST_PARTS)
            payload = json.dumps(run["payload"], indent=2, ensure_ascii=False)
            return {
                "title": f"Run {number}",
                "run": run,
                "payload": payload if len(payload) <= MOST_PAYLOAD else f"{payload[:MOST_PAYLOAD]}…",
                "possible": possible(State(run["state"])),
                "totals": _totals(run),
            }

        found = await self._viewing.asked(ask)
        timeline = run_timeline(found["run"], found["now"])
        return {**found, "timeline": timeline, "not_drawn": not_drawn(found["run"]), "most": MOST_PARTS}


def _totals(run: Row) -> dict[str, int | None]:
    """The numbers of all files together; None where none is known."""
    known = {name: [each[name] for each in run["files"] if each[name] is not None] for name in COUNTS}
    return {name: sum(each) if each else None for name, each in known.items()}
