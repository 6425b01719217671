"""``/v1/tasks/{name}/backfill``: ticks of a calendar that never triggered are shown, and made up for."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse

from snk.batch.platform import backfilling
from snk.batch.platform.api.bodies import Range, described, read
from snk.batch.platform.api.desk import Desk
from snk.batch.platform.api.tasks import Named
from snk.batch.scopes import OPERATE, READ
from snk.http.api.described import COUNT, TEXT, answered, closed, problems
from snk.http.api.entry import Entry
from snk.http.api.problem import invalid
from snk.http.auth.authority import Client

_TICKS = {"type": "array", "items": {"type": "string", "format": "date-time"}}
_RUNS = {"type": "array", "items": {"type": "integer"}}
_FOUND = closed({"name": TEXT, "ticks": _TICKS, "existing": COUNT, "runs": _RUNS})


def add_backfills(app: FastAPI, desk: Desk, entry: Entry) -> None:
    """Add the routes."""

    @app.get(
        "/v1/tasks/{name}/backfill",
        dependencies=[Depends(entry.to(READ, ("from", "to")))],
        responses={**answered(200, "the ticks that would be triggered", _FOUND), **problems(404)},
        summary="Ticks of a range that never triggered; moments without a zone are in that of the calendar",
    )
    async def preview(
        name: Named, start: Annotated[str, Query(alias="from")], end: Annotated[str, Query(alias="to")]
    ) -> JSONResponse:
        first, last = _moment("from", start), _moment("to", end)
        found = await desk.asked(lambda each: backfilling.preview(each, name, first, last))
        return JSONResponse(found.as_json)

    @app.post(
        "/v1/tasks/{name}/backfill",
        status_code=202,
        responses={**answered(202, "the ticks and their runs", _FOUND), **problems(404, 413, 415)},
        openapi_extra={"requestBody": described(Range)},
        summary="Trigger the ticks of a range that never triggered, oldest first",
    )
    async def backfill(
        request: Request, name: Named, client: Annotated[Client, Depends(entry.to(OPERATE))]
    ) -> JSONResponse:
        wanted = await read(request, Range)
        first, last = _moment("from", wanted.start), _moment("to", wanted.end)
        found = await desk.done(lambda each: backfilling.backfill(each, name, first, last, client.name))
        return JSONResponse(found.as_json, 202)


def _moment(field: str, given: str) -> datetime:
    try:
        return datetime.fromisoformat(given)
    except ValueError:
        words = f"{field} is {given!r}, which is no time; write it as {backfilling.MOMENTS}"
        raise invalid(field, words) from None
