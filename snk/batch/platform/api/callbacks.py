"""``POST /v1/runs/{run}/callback``: a consumer reports without being called."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse

from snk.batch.platform import looking, reporting
from snk.batch.platform.api.bodies import described, read
from snk.batch.platform.api.desk import Desk
from snk.batch.platform.api.runs import Number
from snk.batch.platform.moves import Unknown
from snk.batch.scopes import REPORT
from snk.batch.wire import Told
from snk.http.api.described import answered, closed, problems
from snk.http.api.entry import Entry, scope_missing
from snk.http.api.problem import Problem
from snk.http.auth.authority import Client

_OUTCOME = closed({"outcome": {"enum": ["taken", "void", "again"]}})


def add_callbacks(app: FastAPI, desk: Desk, entry: Entry) -> None:
    """Add the route."""

    @app.post(
        "/v1/runs/{run}/callback",
        responses={**answered(200, "what came of it", _OUTCOME), **problems(404, 409, 413, 415)},
        openapi_extra={"requestBody": described(Told)},
        summary="Report how far a run is",
    )
    async def callback(
        request: Request,
        run: Number,
        client: Annotated[Client, Depends(entry.known(("uid",)))],
        uid: Annotated[UUID | None, Query(description="as in the call: a report for another run is refused")] = None,
    ) -> JSONResponse:
        if not client.may(REPORT) and not any(scope.startswith(f"{REPORT}:") for scope in client.scopes):
            raise scope_missing(REPORT)  # before it is told which runs there are
        told = await read(request, Told)
        task = await desk.asked(lambda connection: looking.task_of(connection, run, uid))
        if not client.may(REPORT) and not client.may(f"{REPORT}:{task}"):
            raise Unknown(f"there is no run {run}")  # of which task it is, is not told
        report = reporting.report_of(told, client.name)
        outcome = await desk.done(lambda connection: reporting.take(connection, run, report))
        if outcome == "ahead":
            words = f"Run {run} was never called with the fence {told.fence}: report the one that came with the call"
            raise Problem(409, "fence-ahead", words)
        return JSONResponse({"outcome": outcome})
