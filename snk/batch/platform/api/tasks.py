"""``/v1/tasks``: tasks and groups, why they do not run, and what a person does to them."""

import uuid
from typing import Annotated

from fastapi import Depends, FastAPI, Path, Request
from fastapi.responses import JSONResponse

from snk.batch.definition import NAME
from snk.batch.platform import looking, pausing, triggering
from snk.batch.platform.api.bodies import MaybeWhy, Start, Why, described, read
from snk.batch.platform.api.desk import Desk
from snk.batch.platform.api.messages import OUTCOME
from snk.batch.platform.facts import facts_of
from snk.batch.platform.why import told
from snk.batch.scopes import OPERATE, READ
from snk.http.api.described import TEXT, answered, closed, problems
from snk.http.api.entry import Entry
from snk.http.auth.authority import Client

Named = Annotated[str, Path(pattern=NAME)]
_LIST = {"type": "array", "items": {"type": "object"}}
_PAUSED = closed({"name": TEXT, "paused": {"type": "boolean"}})


def add_tasks(app: FastAPI, desk: Desk, entry: Entry) -> None:
    """Add the routes."""
    _add_looks(app, desk, entry)
    _add_trigger(app, desk, entry)
    _add_pauses(app, desk, entry)


def _add_looks(app: FastAPI, desk: Desk, entry: Entry) -> None:
    reading = [Depends(entry.to(READ))]

    @app.get(
        "/v1/tasks",
        dependencies=reading,
        responses={**answered(200, "all of them", closed({"tasks": _LIST})), **problems()},
        summary="All tasks and groups",
    )
    async def listed() -> JSONResponse:
        return JSONResponse({"tasks": await desk.asked(looking.tasks)})

    @app.get(
        "/v1/tasks/{name}",
        dependencies=reading,
        responses={**answered(200, "the task", {"type": "object"}), **problems(404)},
        summary="A task or group with its definition and its live runs",
    )
    async def one(name: Named) -> JSONResponse:
        return JSONResponse(await desk.asked(lambda connection: looking.task(connection, name)))

    reasons = {"type": "array", "items": TEXT}
    answer = closed(
        {"name": TEXT, "run": {"type": ["integer", "null"]}, "well": {"type": "boolean"}, "reasons": reasons}
    )

    @app.get(
        "/v1/tasks/{name}/why",
        dependencies=reading,
        responses={**answered(200, "why it does not run; nothing if it does", answer), **problems(404)},
        summary="Why a task or group does not run",
    )
    async def why(name: Named) -> JSONResponse:
        return JSONResponse(told(await desk.asked(lambda connection: facts_of(connection, name))))


def _add_trigger(app: FastAPI, desk: Desk, entry: Entry) -> None:
    @app.post(
        "/v1/tasks/{name}/trigger",
        status_code=202,
        responses={
            **answered(202, "what came of it", closed({"key": TEXT, **OUTCOME, "again": {"type": "boolean"}})),
            **problems(404, 413, 415),
        },
        openapi_extra={"requestBody": described(Start)},
        summary="Start a task or group",
    )
    async def trigger(
        request: Request, name: Named, client: Annotated[Client, Depends(entry.to(OPERATE))]
    ) -> JSONResponse:
        start = await read(request, Start)
        key = start.key or str(uuid.uuid4())
        given = triggering.Trigger(name, key, "person", client.name, start.payload, start.files)
        found = await desk.done(lambda connection: triggering.trigger(connection, given))
        return JSONResponse({"key": key, "outcome": found.outcome, "run": found.run, "again": found.again}, 202)


def _add_pauses(app: FastAPI, desk: Desk, entry: Entry) -> None:
    operating = Annotated[Client, Depends(entry.to(OPERATE))]
    answers = {**answered(200, "what it is now", _PAUSED), **problems(404, 413, 415)}

    @app.post(
        "/v1/tasks/{name}/pause",
        responses=answers,
        openapi_extra={"requestBody": described(Why)},
        summary="Have nothing of a task or group called",
    )
    async def pause(request: Request, name: Named, client: operating) -> JSONResponse:
        why = await read(request, Why)
        await desk.done(lambda connection: pausing.pause(connection, name, client.name, why.reason))
        return JSONResponse({"name": name, "paused": True})

    @app.post(
        "/v1/tasks/{name}/resume",
        responses=answers,
        openapi_extra={"requestBody": described(MaybeWhy)},
        summary="Take a pause back",
    )
    async def resume(request: Request, name: Named, client: operating) -> JSONResponse:
        why = await read(request, MaybeWhy)
        await desk.done(lambda connection: pausing.resume(connection, name, client.name, why.reason))
        return JSONResponse({"name": name, "paused": False})
