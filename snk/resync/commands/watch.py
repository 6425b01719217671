"""``snk resync watch``: check every project again and again, and serve what is found."""

import asyncio
import socket
from typing import Annotated

import typer
import uvloop

from snk.http.door import Door
from snk.http.pages import application
from snk.http.service import Address, listening, serve
from snk.log import configure_log
from snk.options import Config
from snk.resync.commands.common import Grace, place_of
from snk.resync.pages import PAGES
from snk.resync.portal.site import site
from snk.resync.run import Place
from snk.resync.settings import HttpSettings, load_settings
from snk.resync.watch import Watch
from snk.signals import hear_ctrl_c, when_told_to_stop


def watch(
    *,
    every: Annotated[float, typer.Option(min=0.1, max=86400, help="Seconds from one round to the next.")] = 60.0,
    grace: Grace = None,
    config: Config = None,
) -> None:
    """Check every project until stopped; serve what is found over HTTP. Never writes to either side."""
    hear_ctrl_c()
    settings = load_settings(config)
    configure_log("console", "info")
    http = settings.http
    address = Address(http.host, http.port, "resync.http.host", "resync.http.port", "resync.http.token")
    with listening(address, guarded=http.operators_token is not None) as bound:
        uvloop.run(_watch(place_of(settings, grace), every, http, bound))


async def _watch(where: Place, every: float, http: HttpSettings, bound: socket.socket) -> None:
    stop = asyncio.Event()
    when_told_to_stop(stop.set)
    watching = Watch(where, every)
    door = Door(http.operators_token, http.host, http.viewers_token)
    portal = site(watching, door=door, stop=stop)
    shown = application(lambda: watching.status().troubles, watching.status, PAGES, portal.routes())
    async with asyncio.TaskGroup() as group:
        group.create_task(watching.run(stop))
        group.create_task(serve(shown, bound, stop, door))
