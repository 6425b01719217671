"""``snk portal``: the pages of several processes behind one address."""

import asyncio
import socket
from collections.abc import Sequence

import aiohttp
import typer
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from typer.core import TyperGroup

from snk.http.door import Door
from snk.http.notify import Health, keep_informed
from snk.http.service import Address, listening, serve
from snk.log import configure_log
from snk.options import Config, LogFormat
from snk.portal.forward import Forward
from snk.portal.reached import Processes
from snk.portal.settings import Portal, load_settings
from snk.portal.site import site
from snk.signals import hear_ctrl_c, when_told_to_stop

LINE_BYTES = 4 * 2**20
"""Half of the longest line of a stream of events, which is a whole part of a page."""


def group(_: Sequence[str]) -> typer.Typer:
    """The command, which has no commands of its own."""
    app = typer.Typer(cls=TyperGroup, invoke_without_command=True, rich_markup_mode=None)
    app.callback()(portal)
    return app


def portal(*, log_format: LogFormat = "console", config: Config = None) -> None:
    """Show the pages of several processes behind one address, until stopped: those of the table [portal]."""
    hear_ctrl_c()
    settings = load_settings(config)
    configure_log(log_format, "info")
    address = Address(settings.host, settings.port, "portal.host", "portal.port", "portal.token")
    with listening(address, guarded=settings.operators_token is not None) as bound:
        uvloop.run(_run(settings, bound))


async def _run(settings: Portal, bound: socket.socket) -> None:
    stop = asyncio.Event()
    when_told_to_stop(stop.set)
    door = Door(settings.operators_token, settings.host, settings.viewers_token)
    connector = aiohttp.TCPConnector(limit=0)  # each stream holds one, and the service limits those who look
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, read_bufsize=LINE_BYTES) as session:
        processes = Processes(settings.processes, session)
        own = site(processes, door=door, stop=stop)
        routes = [*own.routes(), Forward(processes, own).route(), Route("/health", _health)]
        app = Starlette(routes=routes)
        app.router.redirect_slashes = False
        count = len(settings.processes)
        shown = "shows 1 process" if count == 1 else f"shows {count:,} processes"
        async with asyncio.TaskGroup() as group:
            group.create_task(serve(app, bound, stop, door))
            group.create_task(keep_informed(stop, lambda: True, lambda: Health(shown, progressing=True)))


async def _health(_: Request) -> JSONResponse:
    """The portal itself is there; the health of the processes is their own."""
    return JSONResponse({"status": "ok"})
