"""Shows the pages of a process below ``/p/NAME``, and passes on what their forms do.

The portal itself decides who may come in, and presents the token of the process in its settings. Whoever may only look
is announced to the process as such.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from snk.errors import ServiceUnfit
from snk.http.guard import ROLE
from snk.http.portal.site import HEADERS, Site
from snk.portal import rewritten
from snk.portal.reached import Processes, body_of

SENT = ("accept", "content-type", "last-event-id")
SHOWN = ("content-type",)
EVENTS = "text/event-stream"
MOST_NAME = 100


class Forward:
    """The pages of all processes."""

    def __init__(self, processes: Processes, site: Site) -> None:
        self._processes = processes
        self._site = site

    def route(self) -> Route:
        """The route of all their pages."""
        return Route("/p/{name}{path:path}", self._answer, methods=["GET", "POST"])

    async def _answer(self, request: Request) -> Response:
        process = self._processes.by_name.get(request.path_params["name"])
        if process is None:
            name = request.path_params["name"][:MOST_NAME]
            hint = "The first page lists all processes"
            return self._site.failure(request, ServiceUnfit(f"There is no process {name!r} here", hint=hint), 404)
        prefix = f"/p/{process.name}"
        raw = request.scope["raw_path"].decode("latin-1")
        if raw == prefix:
            return RedirectResponse(f"{prefix}/", 303)
        path = raw.removeprefix(prefix)
        if path == raw or not path.startswith("/"):  # what follows a name must not become a part of the host
            return Response("there is no such page\n", 404)
        query = f"?{request.url.query}" if request.url.query else ""
        headers = {name: request.headers[name] for name in SENT if name in request.headers}
        headers |= {"Sec-Fetch-Site": "same-origin", ROLE: request.state.role}
        stack = AsyncExitStack()
        try:
            asked = self._processes.asked(
                process, request.method, path + query, headers=headers, body=await request.body()
            )
            answer = await stack.enter_async_context(asked)
            if answer.content_type == EVENTS:
                return StreamingResponse(_events(answer, prefix, stack), media_type=EVENTS)
            async with stack:
                return await _whole(answer, prefix)
        except ServiceUnfit as error:
            await stack.aclose()
            return self._site.failure(request, error, 502)


async def _whole(answer: aiohttp.ClientResponse, prefix: str) -> Response:
    body = await body_of(answer)
    headers = HEADERS | {name: answer.headers[name] for name in SHOWN if name in answer.headers}
    if "location" in answer.headers:
        headers["location"] = rewritten.location(answer.headers["location"], prefix)
    if answer.content_type == "text/html":
        body = rewritten.page(body.decode(), prefix).encode()
    return Response(body, answer.status, headers)


async def _events(answer: aiohttp.ClientResponse, prefix: str, stack: AsyncExitStack) -> AsyncIterator[bytes]:
    """The stream of a page; if the process goes away, it ends, and the browser asks for the next one."""
    async with stack:
        try:
            async for line in answer.content:
                yield rewritten.event(line, prefix)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return
