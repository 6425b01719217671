"""``snk pipeline run``: pull and push as processes of their own, watched, and a status service."""

import asyncio
import socket

import typer
import uvloop

from snk.http.door import Door
from snk.http.notify import Health, keep_informed
from snk.http.pages import application
from snk.http.service import Address, listening, serve
from snk.log import configure_log
from snk.options import Config, LogFormat
from snk.pipeline.portal.measured import Measured
from snk.pipeline.portal.site import site
from snk.pipeline.sample import check_sample
from snk.pipeline.service import PAGES
from snk.pipeline.settings import Pipeline, load_settings
from snk.pipeline.setup import known_of, space_of
from snk.pipeline.space import held
from snk.pipeline.status import Recent, Watcher
from snk.pipeline.supervise import Supervisor
from snk.settings import config_path
from snk.signals import hear_ctrl_c, when_told_to_stop


def run(*, log_format: LogFormat = "console", config: Config = None) -> None:
    """Keep pull and push running until stopped. Exit code 2 if a person has to change something first."""
    hear_ctrl_c()
    settings = load_settings(config)
    configure_log(log_format, "info")
    address = Address(settings.host, settings.port, "pipeline.host", "pipeline.port", "pipeline.token")
    space = space_of(settings)
    space.make(space.sss)
    space.make(space.rss)
    for own, name in ((space.sss, "pull"), (space.rss, "push")):
        with held(own, f"snk pipeline {name}"):
            pass  # both are free: their processes hold them from now on
    uvloop.run(check_sample(settings))
    supervisor = Supervisor(config_path(config), log_format)
    with listening(address, guarded=settings.operators_token is not None) as bound:
        uvloop.run(_run(supervisor, settings, bound))
    raise typer.Exit(supervisor.code)


async def _run(supervisor: Supervisor, settings: Pipeline, bound: socket.socket) -> None:
    stop = asyncio.Event()
    when_told_to_stop(stop.set)
    space = space_of(settings)
    recent = Recent(Watcher(space, known_of(settings)))
    door, measured = Door(settings.operators_token, settings.host, settings.viewers_token), Measured(recent)
    portal = site(space, recent, measured, door=door, stop=stop)
    shown = application(lambda: recent.status().troubles, recent.status, PAGES, portal.routes())
    async with asyncio.TaskGroup() as group:
        group.create_task(supervisor.run(stop))
        group.create_task(serve(shown, bound, stop, door))
        group.create_task(measured.run(stop))
        group.create_task(_notify(supervisor, recent, stop))


async def _notify(supervisor: Supervisor, recent: Recent, stop: asyncio.Event) -> None:
    """Keep the service manager informed, and its watchdog fed while both processes tell that they work."""

    def health() -> Health:
        status = recent.status()
        left = status.missing + status.pulled + status.pushing
        summary = "; ".join(status.troubles) or f"{status.done:,} frames done, {left:,} left"
        return Health(summary, status.pull.fresh and status.push.fresh)

    await keep_informed(stop, lambda: supervisor.running and recent.status().pull.fresh, health)
