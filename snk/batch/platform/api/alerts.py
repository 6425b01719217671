"""``/v1/alerts``: list alerts, and acknowledge them."""

from typing import Annotated, Literal

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse

from snk.batch.platform import attention
from snk.batch.platform.api.bodies import Noted, described, read
from snk.batch.platform.api.desk import Desk
from snk.batch.platform.api.runs import MOST, Number
from snk.batch.scopes import OPERATE, READ
from snk.http.api.described import TEXT, answered, closed, problems
from snk.http.api.entry import Entry
from snk.http.auth.authority import Client

_LIST = {"type": "array", "items": {"type": "object"}}
_MINE = closed({"alert": {"type": "integer"}, "acknowledged_by": TEXT})


def add_alerts(app: FastAPI, desk: Desk, entry: Entry) -> None:
    """Add the routes."""

    @app.get(
        "/v1/alerts",
        dependencies=[Depends(entry.to(READ, ("all", "limit")))],
        responses={**answered(200, "alerts with their notices", closed({"alerts": _LIST})), **problems()},
        summary="Alerts that are open, newest first; with `all` also those that are resolved",
    )
    async def listed(
        everything: Annotated[Literal["true", "false"], Query(alias="all")] = "false",
        limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
    ) -> JSONResponse:
        resolved = everything == "true"
        found = await desk.asked(lambda each: attention.listed(each, resolved=resolved, most=limit))
        return JSONResponse({"alerts": found})

    @app.post(
        "/v1/alerts/{alert}/acknowledge",
        responses={**answered(200, "who looks after it", _MINE), **problems(404, 409, 413, 415)},
        openapi_extra={"requestBody": described(Noted)},
        summary="Look after an alert; it stays open until its cause is gone",
    )
    async def acknowledge(
        request: Request, alert: Number, client: Annotated[Client, Depends(entry.to(OPERATE))]
    ) -> JSONResponse:
        noted = await read(request, Noted)
        await desk.done(lambda each: attention.acknowledge(each, alert, client.name, noted.note))
        return JSONResponse({"alert": alert, "acknowledged_by": client.name})
