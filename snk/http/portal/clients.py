"""Lets the clients of an API into its portal: who they are and what they may do is what the API says, too."""

import base64
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from snk.errors import Stop
from snk.http.auth.authority import Authority, Client, Unknown
from snk.http.door import SIGNED_IN_SECONDS, Blank, Role, Way, cookie_name, cookies_of
from snk.http.guard import OPEN_PATHS, ROLE, Headers, refused, with_headers
from snk.http.portal.page import Form

MOST_BODY_BYTES = 128 * 1024
"""Of a form, which may hold the names of a thousand tasks."""
HEADERS = [(b"cache-control", b"no-store")]


@dataclass(frozen=True, slots=True)
class Scopes:
    """What a client needs.

    Attributes:
        look: to see anything.
        operate: to change anything.
    """

    look: str
    operate: str


class Visitor(NamedTuple):
    """Somebody who may come in.

    Attributes:
        who: as the API's audit calls them.
    """

    who: str
    role: Role


class ClientDoor:
    """Who may come in.

    Args:
        authority: knows clients.
        scopes: what they need.
        guarded: whether they have to say who they are.
        users: whether some have passwords.
    """

    def __init__(self, authority: Authority, scopes: Scopes, *, guarded: bool, users: bool) -> None:
        self._authority = authority
        self._scopes = scopes
        self._guarded = guarded
        self._users = users
        self._cookies = URLSafeTimedSerializer(secrets.token_urlsafe(32))

    @property
    def blanks(self) -> Sequence[Blank]:
        """A token, or a user and a password if some have one."""
        secret = Blank("token", "Token or password" if self._users else "Token", "password", "current-password")
        user = Blank("user", "User, if you have a password", "text", "username", required=False)
        return (user, secret) if self._users else (secret,)

    @property
    def wrong(self) -> str:
        """What is said to those whom nobody knows."""
        return f"This {'user or token' if self._users else 'token'} is not known here."

    def way(self, role: Role | None) -> Way:
        """Whoever has signed in may sign out."""
        return "out" if role and self._guarded else ""

    async def signed_in(self, given: Form) -> str | None:
        """The value of a cookie for a client who presents a token, or a user and a password; None if nobody knows it.

        Raises:
            Stop: it may not look.
        """
        user, secret = given.get("user", ""), given.get("token", "").strip()
        pair = base64.b64encode(f"{user}:{secret}".encode()).decode()
        try:
            client = await self._authority.client(f"Basic {pair}" if user else f"Bearer {secret}")
        except Unknown:
            return None
        visitor = self._visitor(client)
        if visitor is None:
            raise Stop(f"This client may not look here: the scope {self._scopes.look} is missing")
        return str(self._cookies.dumps(list(visitor)))

    async def visitor(self, authorizations: Sequence[bytes], cookies: Iterable[str]) -> Visitor | None:
        """Who sent a request; None if they may see nothing.

        Args:
            authorizations: the values of these headers.
            cookies: the values of cookies that `signed_in` may have made.
        """
        if authorizations or not self._guarded:
            given = ", ".join(each.decode("latin-1") for each in authorizations)
            try:
                return self._visitor(await self._authority.client(given or None))
            except Unknown:
                return None
        return next(filter(None, map(self._read, cookies)), None)

    def _visitor(self, client: Client) -> Visitor | None:
        if not client.may(self._scopes.look):
            return None
        return Visitor(client.name, "operator" if client.may(self._scopes.operate) else "viewer")

    def _read(self, cookie: str) -> Visitor | None:
        try:
            who, role = self._cookies.loads(cookie, max_age=SIGNED_IN_SECONDS)
        except BadSignature:
            return None
        return Visitor(who, role)


class ClientGuard:
    """The pages of a portal, protected by the door.

    A POST must come from a page of this service, or carry a bearer token, which no other site can know; a browser adds
    a user and a password by itself, so they do not count.
    """

    def __init__(self, pages: ASGIApp, door: ClientDoor) -> None:
        self._pages = pages
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        app = await self._refusal(scope) or self._pages
        await app(scope, receive, with_headers(send, HEADERS))

    async def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope)
        if headers.too_much_body(scope["method"], MOST_BODY_BYTES):
            return PlainTextResponse("request body not allowed\n", 413)
        if scope["method"] == "POST" and not (headers.bearer or headers.same_origin):
            return PlainTextResponse("only pages of this service may do this\n", 403)
        cookies = cookies_of(headers.all_of(b"cookie"), cookie_name(scope["server"][1]))
        visitor = await self._door.visitor(headers.all_of(b"authorization"), cookies)
        who, role = visitor or (None, None)
        if role and headers.all_of(ROLE.encode()) == [b"viewer"]:
            role = "viewer"
        scope["state"] = {**scope.get("state", {}), "trusted": role is not None, "role": role, "who": who}
        return None if scope["path"] in OPEN_PATHS else refused(scope, headers, role)


class Beside:
    """A portal beside an API: what begins as a path of the portal does goes there, and everything else to the API.

    Args:
        api: of the service.
        portal: its pages, guarded.
        routes: of these pages.
    """

    def __init__(self, api: ASGIApp, portal: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._api = api
        self._portal = portal
        self._first = {_first(route.path) for route in routes if isinstance(route, Route)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        app = self._portal if _first(scope["path"]) in self._first else self._api
        await app(scope, receive, send)


def _first(path: str) -> str:
    """The first part of a path."""
    return path.lstrip("/").partition("/")[0]
