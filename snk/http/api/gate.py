"""What every request passes first: limits on its head and body, and what is counted of it."""

import time
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from snk.http.api.body import counted, refuse_length
from snk.http.api.counts import Answers
from snk.http.api.problem import Problem
from snk.http.door import Door

MOST_HEAD_BYTES = 16 * 1024
SEPARATORS = len(": \r\n")
OTHER = "other"
HEADERS = [(b"x-content-type-options", b"nosniff")]


class Gate:
    """The application, behind its limits.

    Args:
        app: the application.
        service: its name, for the table of settings that lets clients in.
        most_body: bytes.
        door: admits requests that were meant for this machine, where every client may do all; otherwise None. So no
            web site can make a browser of this machine use the service (DNS rebinding).
        answers: where requests are counted.
    """

    def __init__(self, app: ASGIApp, service: str, most_body: int, door: Door | None, answers: Answers) -> None:
        self._app = app
        self._service = service
        self._most_body = most_body
        self._door = door
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        began = time.monotonic()
        status = 0

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
            await send(message)

        self._answers.under_way += 1
        try:
            await self._answer(scope, receive, sending)
        finally:
            self._answers.under_way -= 1
            route = scope.get("route")
            kind = f"{scope['method']} {route.path}" if route is not None and hasattr(route, "path") else OTHER
            self._answers.given[kind, status] += 1
            self._answers.seconds[kind] += time.monotonic() - began

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(scope)
        except Problem as problem:
            await problem.response(scope, receive, send)
            return
        await self._app(scope, counted(receive, self._most_body), send)

    def _check(self, scope: Scope) -> None:
        head = (
            len(scope["raw_path"])
            + len(scope["query_string"])
            + sum(len(k) + len(v) + SEPARATORS for k, v in scope["headers"])
        )
        if head > MOST_HEAD_BYTES:
            words = f"Path and headers are longer than {MOST_HEAD_BYTES:,} bytes"
            raise Problem(431, "head-too-long", words, headers={"Connection": "close"})
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if self._door is not None and not self._door.admits(hosts):
            words = f"Without [{self._service}.auth], only requests to this machine's own name are taken"
            raise Problem(403, "other-host", words)
        refuse_length(scope, self._most_body)
