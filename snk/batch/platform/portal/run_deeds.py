"""What a person does to one run, and to an alert: the same functions as the API."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from snk.batch.platform import attention, looking, operations
from snk.batch.platform.api.desk import Desk
from snk.batch.platform.portal import finding
from snk.batch.platform.portal.confirming import REASON, Asking, Field, reason_of, tried
from snk.batch.platform.portal.viewing import Values, Viewing, number_of, run_in
from snk.batch.platform.rows import Row
from snk.batch.state import LIVE, UNSETTLED, Event, Refused, State, following
from snk.core.words import counted
from snk.http.portal.page import Deed, Done, Form, NotThere, Page

MOST_TASKS = 200
EVENTS = {"cancel": Event.CANCELLED, "rerun": Event.RERUN, "skip": Event.SKIPPED}
DONE = {"cancel": "cancelled", "rerun": "run again", "skip": "skipped"}
WHOLE = Field("whole", "Load all files again, also those that are complete", "check")

Preview = Callable[[AsyncConnection, Row], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class By:
    """Who does something, why, and how.

    Attributes:
        whole: of a rerun: whether all files are run again.
    """

    who: str
    reason: str
    whole: bool = False


async def act(connection: AsyncConnection, what: str, run: int, by: By) -> None:
    """Do to a run what the API does; to be called in a transaction.

    Raises:
        Unknown: there is no such run.
        Refused: its state does not allow it.
    """
    if what == "cancel":
        await operations.cancel(connection, run, by.who, by.reason)
    elif what == "skip":
        await operations.skip(connection, run, by.who, by.reason)
    else:
        await operations.rerun(connection, run, by.who, by.reason, whole=by.whole)


class RunDeeds:
    """The questions and what follows from them.

    Args:
        viewing: asks the tables.
        desk: changes them.
    """

    def __init__(self, viewing: Viewing, desk: Desk) -> None:
        self._viewing = viewing
        self._desk = desk

    def pages(self) -> list[Page]:
        """The questions."""
        runs = [Page(f"/runs/{{run}}/{what}", what.title(), "confirm.html", self._asking(what)) for what in EVENTS]
        return [*runs, Page("/alerts/{alert}/acknowledge", "Acknowledge", "confirm.html", self._ask_acknowledge)]

    def deeds(self) -> list[Deed]:
        """What follows."""
        runs = [Deed(f"/runs/{{run}}/{what}", self._doing(what)) for what in EVENTS]
        return [*runs, Deed("/alerts/{alert}/acknowledge", self._acknowledge)]

    def _asking(self, what: str) -> Callable[[Request], Awaitable[Values]]:
        async def ask(request: Request) -> Values:
            number = run_in(request)

            async def look(connection: AsyncConnection) -> Values:
                return {"asking": await _question(connection, what, number)}

            return await self._viewing.asked(look)

        return ask

    def _doing(self, what: str) -> Callable[[Request, Form], Awaitable[Done]]:
        async def do(request: Request, form: Form) -> Done:
            async def doing() -> str:
                run = run_in(request)
                by = By(request.state.who, reason_of(form), "whole" in form)
                await self._desk.done(lambda connection: act(connection, what, run, by))
                return f"Run {run} is {DONE[what]}."

            return await tried(doing(), request.url.path.rpartition("/")[0], request.url.path)

        return do

    async def _ask_acknowledge(self, request: Request) -> Values:
        alert = _alert_in(request)
        preview = [f"You say that you look after alert {alert}.", "It stays open until its cause is gone."]
        note = Field("reason", "Note: what you do about it", "text", required=True)
        asking = Asking(f"Acknowledge alert {alert}", preview, "Acknowledge", "/alerts", (note,))

        async def look(connection: AsyncConnection) -> Values:
            text = await finding.alert_text(connection, alert)
            if text is None:
                raise NotThere(f"there is no open alert {alert}")
            return {"asking": asking, "about": text}

        return await self._viewing.asked(look)

    async def _acknowledge(self, request: Request, form: Form) -> Done:
        async def doing() -> str:
            alert, remark = _alert_in(request), reason_of(form)
            await self._desk.done(lambda each: attention.acknowledge(each, alert, request.state.who, remark))
            return f"You look after alert {alert}."

        return await tried(doing(), "/alerts", "/alerts")


async def _question(connection: AsyncConnection, what: str, number: int) -> Asking:
    run = await looking.one(connection, number, MOST_TASKS)
    heading = f"{what.title()} run {number} of {run['task']}"
    danger = what != "rerun"
    fields = (REASON, WHOLE) if what == "rerun" and not run["tasks"] else (REASON,)
    try:
        following(State(run["state"]), EVENTS[what])
        preview = await _PREVIEWS[what](connection, run)
    except Refused as error:
        return Asking(heading, (), "", f"/runs/{number}", refusal=str(error))
    states = UNSETTLED if what == "rerun" else (LIVE if what == "cancel" else {State.WAITING, *UNSETTLED})
    tasks = [f"run {each['id']} of {each['task']}, {each['state']}" for each in run["tasks"] if each["state"] in states]
    if tasks:
        preview.append(f"The same is done to {counted(len(tasks), 'run')} of its tasks:")
    return Asking(heading, preview, heading, f"/runs/{number}", fields, listed=tasks, danger=danger)


async def _of_cancel(_: AsyncConnection, run: Row) -> list[str]:
    told = [f"It is {run['state']}, and will be CANCELLED for good: it cannot be run again."]
    if run["consumer"]:
        told.append(f"Its consumer {run['consumer']} is told to stop. What it has written stays.")
    elif not run["tasks"]:
        told.append("No consumer was called for it yet.")
    return told


async def _of_skip(_: AsyncConnection, run: Row) -> list[str]:
    return [
        f"It is {run['state']}, and will be CANCELLED for good: it is not run again.",
        "What it has written stays. Its alert is resolved.",
    ]


async def _of_rerun(connection: AsyncConnection, run: Row) -> list[str]:
    told = [f"It is {run['state']}, and will wait for its turn, to be called again."]
    if run["tasks"]:
        return told
    found = await operations.again(connection, run["id"], whole=False)
    files = "all its files" if found.files is None else f"the files {', '.join(found.files)}" if found.files else ""
    if files:
        told.append(f"Its consumer is asked to load {files} again.")
    kept = sorted(found.completed - set(found.files or found.completed))
    if kept:
        told.append(f"These are complete and stay as they are: {', '.join(kept)}.")
    return told


_PREVIEWS: Mapping[str, Preview] = {"cancel": _of_cancel, "skip": _of_skip, "rerun": _of_rerun}


def _alert_in(request: Request) -> int:
    given = str(request.path_params["alert"])
    alert = number_of(given)
    if alert is None:
        raise NotThere(f"there is no alert {given}")
    return alert
