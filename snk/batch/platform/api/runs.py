"""``/v1/runs``: runs, and what a person does to them; ``/v1/audit`` and ``/v1/nodes``."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.responses import JSONResponse

from snk.batch.definition import NAME
from snk.batch.platform import looking, operations
from snk.batch.platform.api.bodies import Again, Why, described, read
from snk.batch.platform.api.desk import Desk
from snk.batch.platform.rows import Row
from snk.batch.scopes import OPERATE, READ
from snk.batch.state import State
from snk.batch.wire import MOST_COUNT
from snk.http.api.described import answered, closed, problems
from snk.http.api.entry import Entry
from snk.http.auth.authority import Client

MOST = 1000
Number = Annotated[int, Path(ge=1, le=MOST_COUNT)]
Limit = Annotated[int, Query(ge=1, le=MOST)]
Before = Annotated[int | None, Query(ge=1, le=MOST_COUNT)]
_LIST = {"type": "array", "items": {"type": "object"}}
_STATE = closed({"run": {"type": "integer"}, "state": {"enum": list(State)}})


def _listed(name: str) -> dict[int | str, Any]:
    return {**answered(200, "some of them", closed({name: _LIST, "next": {"type": ["integer", "null"]}})), **problems()}


def _page(name: str, rows: Sequence[Row], limit: int) -> JSONResponse:
    """A part of a list, and ``before`` for the next part; null if this was the last one."""
    return JSONResponse({name: rows, "next": rows[-1]["id"] if len(rows) == limit else None})


def add_runs(app: FastAPI, desk: Desk, entry: Entry) -> None:
    """Add the routes."""
    _add_looks(app, desk, entry)
    _add_lists(app, desk, entry)
    _add_ends(app, desk, entry)
    _add_rerun(app, desk, entry)


def _add_looks(app: FastAPI, desk: Desk, entry: Entry) -> None:
    @app.get(
        "/v1/runs",
        dependencies=[Depends(entry.to(READ, ("task", "state", "limit", "before")))],
        responses=_listed("runs"),
        summary="Runs, newest first",
    )
    async def listed(
        task: Annotated[str | None, Query(pattern=NAME)] = None,
        state: State | None = None,
        limit: Limit = 20,
        before: Before = None,
    ) -> JSONResponse:
        part = looking.Part(limit, before)
        states = [str(state)] if state else []
        return _page("runs", await desk.asked(lambda each: looking.runs(each, task, states, part)), limit)

    @app.get(
        "/v1/runs/{run}",
        dependencies=[Depends(entry.to(READ))],
        responses={**answered(200, "the run", {"type": "object"}), **problems(404)},
        summary="A run with its files, the calls of its consumer, and its audit",
    )
    async def one(run: Number) -> JSONResponse:
        return JSONResponse(await desk.asked(lambda connection: looking.one(connection, run)))


def _add_lists(app: FastAPI, desk: Desk, entry: Entry) -> None:
    @app.get(
        "/v1/audit",
        dependencies=[Depends(entry.to(READ, ("subject", "limit", "before")))],
        responses=_listed("audit"),
        summary="Who did what, newest first",
    )
    async def audit(
        subject: Annotated[str | None, Query(pattern="^[ -~]{1,100}$")] = None, limit: Limit = 20, before: Before = None
    ) -> JSONResponse:
        part = looking.Part(limit, before)
        return _page("audit", await desk.asked(lambda each: looking.audit(each, subject, part)), limit)

    @app.get(
        "/v1/nodes",
        dependencies=[Depends(entry.to(READ))],
        responses={**answered(200, "all of them", closed({"nodes": _LIST})), **problems()},
        summary="The nodes of the platform",
    )
    async def nodes() -> JSONResponse:
        return JSONResponse({"nodes": await desk.asked(looking.nodes)})


def _add_ends(app: FastAPI, desk: Desk, entry: Entry) -> None:
    operating = Annotated[Client, Depends(entry.to(OPERATE))]
    answers = {**answered(200, "its state", _STATE), **problems(404, 409, 413, 415)}
    given: dict[str, Any] = {"responses": answers, "openapi_extra": {"requestBody": described(Why)}}

    @app.post("/v1/runs/{run}/cancel", summary="End a run that is under way", **given)
    async def cancel(request: Request, run: Number, client: operating) -> JSONResponse:
        why = await read(request, Why)
        await desk.done(lambda connection: operations.cancel(connection, run, client.name, why.reason))
        return JSONResponse({"run": run, "state": State.CANCELLED})

    @app.post("/v1/runs/{run}/skip", summary="Decide that a run is not run, or not run again", **given)
    async def skip(request: Request, run: Number, client: operating) -> JSONResponse:
        why = await read(request, Why)
        await desk.done(lambda connection: operations.skip(connection, run, client.name, why.reason))
        return JSONResponse({"run": run, "state": State.CANCELLED})


def _add_rerun(app: FastAPI, desk: Desk, entry: Entry) -> None:
    @app.post(
        "/v1/runs/{run}/rerun",
        responses={**answered(200, "its state", _STATE), **problems(404, 409, 413, 415)},
        openapi_extra={"requestBody": described(Again)},
        summary="Run the files of a run that failed again, or the tasks of a group that did",
    )
    async def rerun(
        request: Request, run: Number, client: Annotated[Client, Depends(entry.to(OPERATE))]
    ) -> JSONResponse:
        again = await read(request, Again)
        await desk.done(
            lambda connection: operations.rerun(connection, run, client.name, again.reason, whole=again.whole)
        )
        return JSONResponse({"run": run, "state": State.WAITING})
