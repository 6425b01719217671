"""Controls who may query the daemon over HTTP, and how many resources one client can hold.

Every request is checked before a page is built. It must have no body. It must carry the token, if one is set. Without a
token, it must name a host of this machine, so that no web site can make a browser query it (DNS rebinding). Every
connection carries one request and ends after ten seconds, however slowly the client sends or reads.
"""

from collections.abc import MutableMapping
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from snk.http.door import Door

OPEN_PATH = "/health"
CONNECTION_SECONDS = 10.0
MOST_CONNECTIONS = 50
MOST_HEAD_BYTES = 8192
HEADERS = [(b"connection", b"close"), (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class Guard:
    """The pages, protected by the door."""

    def __init__(self, pages: ASGIApp, door: Door) -> None:
        self._pages = pages
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        app = self._pages if scope["type"] != "http" else self._refusal(scope) or self._pages
        await app(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        def all_of(name: bytes) -> list[bytes]:
            return [value for key, value in scope["headers"] if key == name]

        head = len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(k) + len(v) for k, v in scope["headers"])
        if head > MOST_HEAD_BYTES:
            return PlainTextResponse("request line too long\n", 431)
        if all_of(b"transfer-encoding") or any(value.strip() != b"0" for value in all_of(b"content-length")):
            return PlainTextResponse("request body not allowed\n", 413)
        if not self._door.admits(all_of(b"host")):
            return PlainTextResponse("only requests from this machine are allowed\n", 403)
        trusted = self._door.knows(all_of(b"authorization"))
        scope["state"] = {**scope.get("state", {}), "trusted": trusted}
        if trusted or scope["path"] == OPEN_PATH:
            return None
        return PlainTextResponse("missing or wrong bearer token\n", 401, {"www-authenticate": "Bearer"})


class BriefProtocol(H11Protocol):
    """HTTP/1.1 on a short-lived connection. Connections beyond the limit are closed without being read."""

    def connection_made(self, transport: Any) -> None:
        """Start the timer."""
        super().connection_made(transport)
        self._end = self.loop.call_later(CONNECTION_SECONDS, transport.abort)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._end.cancel()
        super().connection_lost(exc)


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
        await send(message)

    return sending
