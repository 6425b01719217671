"""What every request passes first: limits on its head and body, and what is counted of it."""

import time
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from snk.http.guard import Door
from snk.serve.body import counted, refuse_length
from snk.serve.counts import Counts
from snk.serve.problem import Problem

MOST_HEAD_BYTES = 16 * 1024
SEPARATORS = len(": \r\n")
OTHER = "other"
HEADERS = [(b"x-content-type-options", b"nosniff")]


class Gate:
    """The application, behind its limits.

    Args:
        app: the application.
        most_body: bytes.
        door: admits requests that were meant for this machine, where every client may do all; otherwise None. So no
            web site can make a browser of this machine use the service (DNS rebinding).
        counts: where requests are counted.
    """

    def __init__(self, app: ASGIApp, most_body: int, door: Door | None, counts: Counts) -> None:
        self._app = app
        self._most_body = most_body
        self._door = door
        self._counts = counts

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

        self._counts.under_way += 1
        try:
            await self._answer(scope, receive, sending)
        finally:
            self._counts.under_way -= 1
            route = scope.get("route")
            kind = f"{scope['method']} {route.path}" if route is not None and hasattr(route, "path") else OTHER
            self._counts.answers[kind, status] += 1
            self._counts.seconds[kind] += time.monotonic() - began

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
            raise Problem(403, "other-host", "Without [serve.auth], only requests to this machine's own name are taken")
        refuse_length(scope, self._most_body)
