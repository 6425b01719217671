"""``snk handoff run``: the sync server."""

import asyncio
import os
import socket
from typing import Annotated

import structlog
import typer
import uvloop

from snk import garbage
from snk.core.words import counted
from snk.errors import SettingsError
from snk.handoff.commands.common import serving_of
from snk.handoff.portal.measured import Measured
from snk.handoff.portal.site import Sources, site
from snk.handoff.server import Server
from snk.handoff.service import application
from snk.handoff.settings import Handoff, load_settings
from snk.handoff.state import State
from snk.handoff.status import Limits, Watcher
from snk.handoff.visitors import Visitors
from snk.http.notify import Health, keep_informed
from snk.http.service import Address, listening, serve_open
from snk.log import configure_log
from snk.options import Config, LogFormat
from snk.settings import config_path
from snk.signals import hear_ctrl_c, when_told_to_stop

log = structlog.get_logger()


def run(
    *,
    once: Annotated[bool, typer.Option("--once", help="Send what there is, and end.")] = False,
    log_format: LogFormat = "console",
    config: Config = None,
) -> None:
    """Replay logs until stopped.

    With --once, exit code 0 if everything was sent, 1 if lines are left, became dead letters, or were lost.
    """
    hear_ctrl_c()
    settings = load_settings(config)
    configure_log(log_format, "info")
    if not (settings.logs.is_dir() and os.access(settings.logs, os.R_OK | os.X_OK)):
        hint = "Create it, with one folder HOST:PORT for each backend, and let this user read it"
        where = f"{config_path(config)}: handoff.logs is {str(settings.logs)!r}"
        raise SettingsError(f"{where}, which is no readable folder", hint=hint)
    garbage.seldom()  # looking costs a twentieth
    state = State(settings.state)
    with state.locked():
        server = Server(serving_of(settings), state)
        if once:
            done = uvloop.run(_once(server))
            tally, unreadable = server.tally, server.monitor.last.unreadable
            print("; ".join([str(tally), *(f"{name} cannot be read: {why}" for name, why in unreadable.items())]))
            raise typer.Exit(0 if done and not (tally.dead or tally.lost) else 1)
        address = Address(settings.host, settings.port, "handoff.host", "handoff.port")
        with listening(address, guarded=True) as bound:
            uvloop.run(_run(server, settings, bound))


async def _once(server: Server) -> bool:
    stop = asyncio.Event()
    when_told_to_stop(stop.set)
    return await server.drain(stop)


async def _run(server: Server, settings: Handoff, bound: socket.socket) -> None:
    stop = asyncio.Event()
    when_told_to_stop(stop.set)
    watcher = Watcher(server, Limits(settings.limit_bytes, settings.limit_age_seconds))
    visitors = Visitors(settings.visitors, settings.user, settings.password.get_secret_value(), settings.host)
    measured = Measured(server)
    portal = site(Sources(server, watcher, measured, settings), door=visitors, stop=stop)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.run(stop))
        group.create_task(serve_open(application(watcher.status, visitors, portal.routes()), bound, stop))
        group.create_task(_notify(watcher, server, stop))
        group.create_task(measured.run(stop))


async def _notify(watcher: Watcher, server: Server, stop: asyncio.Event) -> None:
    """Keep the service manager informed, and its watchdog fed while lines that can be sent are sent."""

    def health() -> Health:
        status = watcher.status()
        waiting = sum(backend.pending_lines for backend in status.backends.values())
        backends = counted(len(status.backends), "backend")
        waits = f"{counted(waiting, 'line')} {'waits' if waiting == 1 else 'wait'}"
        summary = "; ".join(status.troubles) or f"{backends}, {waits}"
        return Health(summary, not any(lane.backend.stuck for lane in server.lanes.values()))

    await keep_informed(stop, lambda: server.monitor.looked, health)
