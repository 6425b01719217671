"""A portal as routes: pages, their live parts, the actions of their forms, and the sign-in."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from snk.core.bucket import Bucket
from snk.errors import SnkError
from snk.http.door import SIGNED_IN_SECONDS, SignIn, Way, cookie_name
from snk.http.guard import ROLE, SIGN_IN, SIGN_OUT
from snk.http.portal.drawn import STATIC, TYPES, Drawing
from snk.http.portal.live import Live
from snk.http.portal.page import Action, Deed, Done, Form, NotThere, Page

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {"content-security-policy": POLICY, "referrer-policy": "same-origin"}
ATTEMPTS_PER_SECOND = 2.0
MOST_NOTES = 100
MOST_ADDRESSES = 1000


@dataclass(frozen=True, slots=True)
class About:
    """What every page of a site shows.

    Attributes:
        system: its name, such as ``pair``.
        name: of the process, in the title of windows.
        troubles: why it is not healthy; empty if it is.
    """

    system: str
    name: str
    troubles: Callable[[], Sequence[str]]


class Site:
    """The portal of one process.

    Args:
        about: what every page shows.
        folder: where the system has its templates.
        pages: its pages.
        actions: what its forms do.
        door: how somebody becomes known.
        stop: ends all streams.
    """

    def __init__(
        self,
        about: About,
        folder: Path,
        pages: Sequence[Page],
        actions: Sequence[Action | Deed],
        *,
        door: SignIn,
        stop: asyncio.Event,
    ) -> None:
        self._about = about
        self._drawing = Drawing([folder])
        self._pages = pages
        self._actions = actions
        self._door = door
        self._live = Live(stop)
        self._attempts: OrderedDict[str, Bucket] = OrderedDict()
        self._notes: OrderedDict[str, Done] = OrderedDict()

    def routes(self) -> list[BaseRoute]:
        """The routes, for an application behind a guard."""
        routes: list[BaseRoute] = []
        for page in self._pages:
            routes.append(Route(page.path, self._shown(page)))
            if page.parts:
                routes.append(Route(f"/live{page.path}", self._streamed(page)))
        routes += [Route(action.path, self._acted(action), methods=["POST"]) for action in self._actions]
        routes.append(Route("/portal/{file}", _static))
        routes.append(Route(SIGN_IN, self._sign_in, methods=["GET", "POST"]))
        routes.append(Route(SIGN_OUT, self._sign_out, methods=["POST"]))
        return routes

    def failure(self, request: Request, error: SnkError, status: int) -> Response:
        """A page that tells an error, with the way back."""
        return self._response("error.html", {**self._common(request, "Not to be seen"), "error": error}, status)

    def _shown(self, page: Page) -> Callable[[Request], Any]:
        async def show(request: Request) -> Response:
            try:
                values = {**self._common(request, page.title), **await page.look(request)}
            except SnkError as error:
                status = 404 if isinstance(error, NotThere) else 503
                return self._response("error.html", {**self._common(request, page.title), "error": error}, status)
            return self._response(page.template, values, int(values.get("status", 200)))

        return show

    def _streamed(self, page: Page) -> Callable[[Request], Any]:
        async def stream(request: Request) -> Response:
            async def draw() -> Mapping[str, str]:
                common = self._common(request, page.title)
                try:
                    values = {**common, **await page.look(request)}
                except SnkError:
                    return {"health": self._drawing.part("health", common)}
                return {name: self._drawing.part(name, values) for name in ("health", *page.parts)}

            seen = (request.state.role, self._way(request), self._who(request), request.url.path, request.url.query)
            key = repr(seen)
            events = self._live.stream(key, draw)
            return StreamingResponse(events, media_type="text/event-stream", headers=HEADERS)

        return stream

    def _acted(self, action: Action | Deed) -> Callable[[Request], Any]:
        async def act(request: Request) -> Response:
            form = await _form(request)
            if isinstance(action, Deed):
                return self._noted(await action.do(request, form))
            try:
                done = await action.do(form, request.url.path)
            except SnkError as error:
                done = Done(str(error), action.back, ok=False)
            return self._noted(done)

        return act

    def _noted(self, done: Done) -> Response:
        """Go to the next page, which says what became of an action; a link cannot make it say anything else."""
        key = secrets.token_urlsafe(8)
        self._notes[key] = done
        while len(self._notes) > MOST_NOTES:
            self._notes.popitem(last=False)
        joint = "&" if "?" in done.to else "?"
        return RedirectResponse(f"{done.to}{joint}note={key}", 303, HEADERS)

    def _common(self, request: Request, title: str) -> dict[str, Any]:
        troubles = list(self._about.troubles()) if request.state.role else []
        return {
            "title": title,
            "system": self._about.system,
            "process": self._about.name,
            "troubles": troubles,
            "menu": [(page.path, page.menu) for page in self._pages if page.menu and request.state.role],
            "path": request.url.path,
            "here": _here(request),
            "live": any(page.parts for page in self._pages if page.title == title),
            "operator": request.state.role == "operator",
            "way": self._way(request),
            "who": self._who(request),
            "note": self._notes.get(request.query_params.get("note", "")),
        }

    def _way(self, request: Request) -> Way:
        """What pages offer to somebody; behind `snk portal`, people have signed in there."""
        return "" if ROLE in request.headers else self._door.way(request.state.role)

    def _who(self, request: Request) -> str:
        return getattr(request.state, "who", "") if self._door.way(request.state.role) else ""

    def _response(self, template: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
        return HTMLResponse(self._drawing.page(template, values), status, HEADERS)

    async def _sign_in(self, request: Request) -> Response:
        form = await _form(request) if request.method == "POST" else dict(request.query_params)
        to, wrong = _within(form.get("to", "/")), ""
        if request.method == "POST":
            try:
                value = await self._known(request, form)
            except SnkError as error:
                wrong = str(error)
            else:
                return _with_cookie(RedirectResponse(to, 303, HEADERS), request, value)
        values = {**self._common(request, "Sign in"), "to": to, "wrong": wrong, "blanks": self._door.blanks}
        return self._response("sign_in.html", values, 403 if wrong else 200)

    async def _known(self, request: Request, form: Form) -> str:
        """The value of a cookie for somebody.

        Raises:
            SnkError: why they may not come in.
        """
        self._count_attempt(request)
        if value := await self._door.signed_in(form):
            return value
        raise SnkError(self._door.wrong)

    def _count_attempt(self, request: Request) -> None:
        """Let each address try a few times, and then more rarely."""
        address = request.client.host if request.client else ""
        bucket = self._attempts.setdefault(address, Bucket(ATTEMPTS_PER_SECOND, burst=5))
        self._attempts.move_to_end(address)
        if len(self._attempts) > MOST_ADDRESSES:
            self._attempts.popitem(last=False)
        if bucket.take(asyncio.get_running_loop().time()):
            raise SnkError("Too many attempts. Try again in a few seconds.")

    async def _sign_out(self, request: Request) -> Response:
        response = RedirectResponse(SIGN_IN, 303, HEADERS)
        response.delete_cookie(cookie_name(request.scope["server"][1]), path="/")
        return response


def _with_cookie(response: Response, request: Request, value: str) -> Response:
    name = cookie_name(request.scope["server"][1])
    secure = request.headers.get("origin", "").startswith("https:")  # as the browser sees it, also behind a proxy
    response.set_cookie(name, value, SIGNED_IN_SECONDS, httponly=True, samesite="strict", secure=secure, path="/")
    return response


async def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))


def _here(request: Request) -> str:
    """The page that is asked for, be it for its stream, without the note that it shows."""
    path = request.url.path.removeprefix("/live")
    query = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "note"])
    return f"{path}?{query}" if query else path


def _within(to: str) -> str:
    """A path of this service; whatever leads elsewhere leads to the first page."""
    return quote(to, safe="/?=&%+,.:-_~") if to.startswith("/") and not to.startswith(("//", "/\\")) else "/"


async def _static(request: Request) -> Response:
    file = STATIC / request.path_params["file"]
    if file.parent != STATIC or not file.is_file():
        return Response("there is no such file\n", 404)
    return Response(file.read_bytes(), media_type=TYPES[file.suffix], headers=HEADERS)
