"""Controls who may query a daemon over HTTP, and how many resources one client can hold.

Every request is checked before a page is built. Only a POST may have a body, and a small one. The entrance says who may
come in: whoever carries a token or the cookie of somebody who has signed in, say. Where no token is needed, a request
must name a host that the entrance knows, so that no web site can make a browser query it (DNS rebinding). What changes
something is a POST, must come from a page of this service or carry a bearer token itself, and is for operators only. A
user and a password (HTTP Basic) are no such proof: browsers send them along with whatever another site asks for. Every
connection carries one request and ends after ten seconds, however slowly the client sends or reads.
"""

from collections.abc import Iterable, MutableMapping
from typing import Any
from urllib.parse import quote

from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from snk.http.door import Entrance, Role, cookie_name, cookies_of

ROLE = "x-snk-role"
"""A header by which the portal says that whoever asks may only look, whatever its own token allows."""
SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
HEALTH = "/health"
OPEN_PATHS = frozenset((HEALTH, SIGN_IN, "/portal/portal.css", "/portal/portal.js", "/portal/icon.svg"))
CONNECTION_SECONDS = 10.0
MOST_CONNECTIONS = 200
MOST_HEAD_BYTES = 8192
MOST_BODY_BYTES = 16 * 1024
HEADERS = [(b"connection", b"close"), (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class Guard:
    """The pages, protected by the door."""

    def __init__(self, pages: ASGIApp, door: Entrance) -> None:
        self._pages = pages
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        app = self._pages if scope["type"] != "http" else self._refusal(scope) or self._pages
        await app(scope, receive, with_headers(send, HEADERS))

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope)
        head = len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(k) + len(v) for k, v in scope["headers"])
        if head > MOST_HEAD_BYTES:
            return PlainTextResponse("request line too long\n", 431)
        if headers.too_much_body(scope["method"]):
            return PlainTextResponse("request body not allowed\n", 413)
        if not self._door.admits(headers.all_of(b"host")):
            return PlainTextResponse(f"{self._door.names}\n", 403)
        cookies = cookies_of(headers.all_of(b"cookie"), cookie_name(scope["server"][1]))
        role = self._door.role(headers.all_of(b"authorization"), cookies)
        if role and headers.all_of(ROLE.encode()) == [b"viewer"]:
            role = "viewer"
        scope["state"] = {**scope.get("state", {}), "trusted": role is not None, "role": role}
        if scope["method"] == "POST" and not (headers.bearer or headers.same_origin):
            return PlainTextResponse("only pages of this service may do this\n", 403)
        if scope["path"] in OPEN_PATHS:  # at the health, who has a token wants to know that it is wrong
            return unknown_token() if scope["path"] == HEALTH and role is None and headers.bearer else None
        return refused(scope, headers, role)


def refused(scope: Scope, headers: "Headers", role: Role | None) -> ASGIApp | None:
    """What answers a request that its sender may not make; None if nothing is to be refused."""
    if role is None and scope["method"] == "GET" and b"text/html" in b",".join(headers.all_of(b"accept")):
        query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        return RedirectResponse(f"{SIGN_IN}?to={quote(scope['path'] + query, safe='/')}", 303)
    if role is None:
        return unknown_token()
    if scope["method"] == "POST" and role != "operator" and scope["path"] != SIGN_OUT:
        return PlainTextResponse("you may look, and change nothing\n", 403)
    return None


def unknown_token() -> ASGIApp:
    """What answers a request without a token that is known here."""
    return PlainTextResponse("missing or wrong bearer token\n", 401, {"www-authenticate": "Bearer"})


class Headers:
    """The headers of a request."""

    def __init__(self, scope: Scope) -> None:
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]

    def all_of(self, name: bytes) -> list[bytes]:
        """The values of all headers of a name."""
        return [value for key, value in self._headers if key == name]

    @property
    def bearer(self) -> bool:
        """Whether the client itself put a token there: no browser does so for a page of another site."""
        given = self.all_of(b"authorization")
        return bool(given) and all(each.lower().startswith(b"bearer ") for each in given)

    @property
    def same_origin(self) -> bool:
        """Whether a page of this service sent the request: browsers tell, and pages cannot lie about it."""
        sites, origins, hosts = (self.all_of(name) for name in (b"sec-fetch-site", b"origin", b"host"))
        if sites and sites != [b"same-origin"]:
            return False
        if origins:
            return len(hosts) == 1 and [each.partition(b"://")[2] for each in origins] == hosts
        return bool(sites)

    def too_much_body(self, method: str, most_bytes: int = MOST_BODY_BYTES) -> bool:
        """Whether the body of a request is longer than that of a POST may be; others have none."""
        if self.all_of(b"transfer-encoding"):
            return True
        most = most_bytes if method == "POST" else 0
        lengths = [value.strip() for value in self.all_of(b"content-length")]
        return any(not length.isdigit() or len(length) > 9 or int(length) > most for length in lengths)  # noqa: PLR2004


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


def with_headers(send: Send, headers: Iterable[tuple[bytes, bytes]]) -> Send:
    """Send answers with these headers, too."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *headers]}
        await send(message)

    return sending
