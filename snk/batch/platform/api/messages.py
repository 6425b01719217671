"""``POST /v1/messages``: other systems say what has happened."""

from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from snk.batch.platform.api.bodies import Sent, described, read
from snk.batch.platform.api.desk import Desk
from snk.batch.platform.messaging import Message, deliver
from snk.batch.scopes import MESSAGES
from snk.http.api.described import KEY_HEADER, TEXT, answered, closed, problems
from snk.http.api.entry import Entry
from snk.http.api.idempotency import NAME, idempotency_key
from snk.http.auth.authority import Client

OUTCOME = {"outcome": {"enum": ["run", "joined", "skipped"]}, "run": {"type": ["integer", "null"]}}
_ONE = closed({"name": TEXT, **OUTCOME, "again": {"type": "boolean"}})


def add_messages(app: FastAPI, desk: Desk, entry: Entry) -> None:
    """Add the route."""

    @app.post(
        "/v1/messages",
        status_code=202,
        responses={
            **answered(202, "what it started", closed({"triggered": {"type": "array", "items": _ONE}})),
            **problems(404, 413, 415),
        },
        openapi_extra={"parameters": [KEY_HEADER], "requestBody": described(Sent)},
        summary="Start all tasks and groups that wait for a message, once for each key",
    )
    async def message(request: Request, client: Annotated[Client, Depends(entry.to(MESSAGES))]) -> JSONResponse:
        key = idempotency_key(request.headers.getlist(NAME), "new message")
        sent = await read(request, Sent)
        given = Message(sent.message, key, "message", client.name, sent.payload)
        found = await desk.done(lambda connection: deliver(connection, given))
        triggered = [
            {"name": name, "outcome": each.outcome, "run": each.run, "again": each.again}
            for name, each in found.items()
        ]
        return JSONResponse({"triggered": triggered}, 202)
