"""How a person makes up for ticks of a calendar that never triggered: a range, what is missing in it, and a button."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from snk.batch.platform import backfilling
from snk.batch.platform.api.desk import Desk
from snk.batch.platform.backfilling import MOMENTS, Backfill, NoBackfill
from snk.batch.platform.portal.confirming import Asking, Field, tried
from snk.batch.platform.portal.viewing import Values, Viewing, name_in, text_of
from snk.core.moments import stamp
from snk.core.words import counted
from snk.http.portal.page import Deed, Done, Form, Page

MOST_LISTED = 50


class BackfillDeeds:
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
        return [Page("/tasks/{name}/backfill", "Backfill", "confirm.html", self._ask)]

    def deeds(self) -> list[Deed]:
        """What follows."""
        return [Deed("/tasks/{name}/backfill", self._backfill)]

    async def _ask(self, request: Request) -> Values:
        name, start, end = name_in(request), text_of(request, "from"), text_of(request, "to")

        async def look(connection: AsyncConnection) -> Values:
            if not (start and end):
                return {"asking": _range(name)}
            try:
                found = await backfilling.preview(connection, name, _moment(start), _moment(end))
            except NoBackfill as error:
                return {"asking": Asking(f"Backfill {name}", (), "", f"/tasks/{name}/backfill", refusal=str(error))}
            return {"asking": _found(found, start, end)}

        return await self._viewing.asked(look)

    async def _backfill(self, request: Request, form: Form) -> Done:
        async def doing() -> str:
            name, start, end = name_in(request), _moment(form.get("from", "")), _moment(form.get("to", ""))
            found = await self._desk.done(lambda each: backfilling.backfill(each, name, start, end, request.state.who))
            return f"{counted(len(found.runs), 'tick')} of {name} triggered; the runs are queued, oldest first."

        return await tried(doing(), request.url.path.rpartition("/")[0], request.url.path)


def _range(name: str) -> Asking:
    """The question which range it is about."""
    preview = [
        "Ticks of its calendar that never triggered are triggered now, oldest first. The present goes first.",
        f"Moments are written as {MOMENTS}; without a zone, they are in that of the calendar.",
    ]
    fields = (
        Field("from", "From, the first moment", required=True),
        Field("to", "To, the first moment that does not count", required=True),
    )
    return Asking(f"Backfill {name}", preview, "Show the ticks", f"/tasks/{name}", fields, method="get")


def _found(found: Backfill, start: str, end: str) -> Asking:
    """The question whether these ticks are triggered."""
    heading, back = f"Backfill {found.name}", f"/tasks/{found.name}/backfill"
    before = f"Triggered before, and left out: {counted(found.existing, 'tick')} of this range."
    if not found.ticks:
        return Asking(heading, (), "", back, refusal=f"There is nothing to make up for. {before}")
    preview = [before, f"{counted(len(found.ticks), 'tick')} of {found.cron!r} in {found.zone} never triggered:"]
    ticks = [stamp(each) for each in found.ticks]
    fields = (Field("from", "", "hidden", value=start), Field("to", "", "hidden", value=end))
    shown = ticks[:MOST_LISTED]
    button = f"Trigger {counted(len(ticks), 'tick')}"
    return Asking(heading, preview, button, back, fields, listed=shown, more=len(ticks) - len(shown))


def _moment(given: str) -> datetime:
    """A moment.

    Raises:
        NoBackfill: it is none.
    """
    try:
        return datetime.fromisoformat(given)
    except ValueError:
        raise NoBackfill(f"{given!r} is no time; write it as {MOMENTS}") from None
