"""The status service: hustdb's forms as they were; beside them /status, /metrics and /health; and pages for people."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from snk.handoff.metrics import Metrics
from snk.handoff.status import Status
from snk.handoff.visitors import Visitors
from snk.http.guard import Guard
from snk.http.pages import Pages
from snk.http.pages import application as pages

ALIVE = "ok\n"
ALL = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


def application(status: Callable[[], Status], visitors: Visitors, portal: Sequence[BaseRoute] = ()) -> ASGIApp:
    """The service; each answer is made from a fresh status.

    Args:
        status: takes one.
        visitors: who may use it.
        portal: the pages for people, which are guarded.
    """

    async def alive(_: Request) -> PlainTextResponse:
        return PlainTextResponse(ALIVE)

    async def sync_status(request: Request) -> Response:
        if not visitors.knows(request.headers.get("authorization")):
            return PlainTextResponse("user or password wrong\n", 401, {"WWW-Authenticate": 'Basic realm="sync"'})
        if request.method != "GET":
            return PlainTextResponse("only GET\n", 405, {"Allow": "GET"})
        given = request.query_params.get("backend_count")
        if given is None:
            return PlainTextResponse("backend_count is missing\n", 404)
        return Response(counted(status(), _number(given)), media_type="application/json")

    more = [Route("/status.html", alive), Route("/sync_status", sync_status, methods=ALL)]
    shown = Starlette(routes=portal)
    shown.router.redirect_slashes = False
    return _Doorkeeper(pages(lambda: status().troubles, status, PAGES, more), Guard(shown, visitors), visitors)


def counted(status: Status, backends: int) -> str:
    """The frozen form: what was read from logs and what is synced, of all and of the first so many backends."""
    items = {
        name: {"processed_items": backend.counts.processed, "synced_items": backend.counts.synced}
        for name, backend in sorted(status.backends.items())
    }
    total = {key: sum(each[key] for each in items.values()) for key in ("processed_items", "synced_items")}
    first = dict(list(items.items())[: max(0, backends)])
    return json.dumps({"total_status": total, "status": first}, indent=4)


def as_json(status: Status) -> dict[str, Any]:
    """Everything that is known."""
    return {
        "backends": {name: backend.as_json for name, backend in status.backends.items()},
        "troubles": status.troubles,
        "quarantined": status.quarantined,
        "ignored": status.ignored,
        "unreadable": status.unreadable,
    }


PAGES: Pages[Status] = Pages(as_json, Metrics)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0  # noqa: PLR2004 - no such number


class _Doorkeeper:
    """Refuses clients whose addresses are not allowed. What programs ask for is for all others; pages have a guard.

    What programs ask for answers under any name of this machine, as it always did.
    """

    def __init__(self, plain: Starlette, guarded: Guard, visitors: Visitors) -> None:
        self._plain = plain
        self._paths = {route.path for route in plain.routes if isinstance(route, Route)}
        self._guarded = guarded
        self._allowed = visitors.allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        refused = scope["type"] == "http" and not (client and self._allowed.admits(client[0]))
        scope["state"] = {**scope.get("state", {}), "trusted": True}
        app: ASGIApp = self._plain if scope.get("path") in self._paths else self._guarded
        await (PlainTextResponse("this address is not allowed\n", 403) if refused else app)(scope, receive, send)
