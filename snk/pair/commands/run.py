"""``snk run``: the daemon, its HTTP service, and its notifications to the service manager."""

import asyncio
import socket
from collections.abc import Coroutine
from functools import partial
from typing import Annotated, Any

import typer
import uvloop

from snk import garbage
from snk.http.door import Door
from snk.http.notify import Health, keep_informed
from snk.http.pages import application
from snk.http.service import Address, listening, serve
from snk.pair.commands.common import databases_of, pass_over, start
from snk.pair.commands.reload import read_again
from snk.pair.core.report import DaemonStatus
from snk.pair.portal.measured import Measured
from snk.pair.portal.site import site
from snk.pair.settings import Settings
from snk.pair.status.pages import pages
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.limits import Limits
from snk.pair.sync.schedule import SweepSchedule
from snk.pause import pause
from snk.signals import hear_ctrl_c, when_told_to_read_again, when_told_to_stop

MOST_TROUBLES = 3
LOOK_SECONDS = 1.0


def run(
    *,
    init: Annotated[bool, typer.Option("--init", help="First run `snk init`.")] = False,
) -> None:
    """Keep the tables equal until stopped. Stops on SIGTERM, on Ctrl-C, or when the terminal closes (without nohup).

    SIGHUP makes it read SNK_TABLES again from the file of the settings; other settings need a restart.
    """
    hear_ctrl_c()
    settings = start()
    names = ("SNK_HTTP_HOST", "SNK_HTTP_PORT", "SNK_HTTP_TOKEN")
    address = Address(settings.snk_http_host, settings.snk_http_port, *names)
    with listening(address, guarded=settings.http_token is not None) as bound:
        uvloop.run(_run(settings, bound, init=init))


async def _run(settings: Settings, bound: socket.socket, *, init: bool) -> None:
    asyncio.get_running_loop().set_exception_handler(pass_over)
    stop = asyncio.Event()
    when_told_to_stop(stop.set)
    limits = Limits(
        settings.snk_batch_rows,
        settings.snk_batch_bytes,
        settings.snk_poll_max_ms,
        connections=settings.snk_connections,
    )
    sweeps = SweepSchedule(every_seconds=settings.snk_sweep_seconds, share=settings.snk_sweep_share)
    daemon = Daemon(
        databases_of(settings), limits, settings.redis_dsn, sweeps=sweeps, canary_seconds=settings.snk_canary_seconds
    )
    daemon.select(settings.selection)
    when_told_to_read_again(partial(read_again, settings, daemon), stop.set)
    door, measured = Door(settings.http_token, settings.snk_http_host, settings.http_view_token), Measured(daemon)
    portal = site(daemon, measured, door=door, stop=stop)
    told = pages(of_tables=settings.snk_metrics_tables)
    shown = application(daemon.troubles, daemon.status, told, portal.routes())
    serving = serve(shown, bound, stop, door)
    async with asyncio.TaskGroup() as group:
        for part in (_sync(daemon, stop, init=init), serving, notify(daemon, stop), measured.run(stop)):
            group.create_task(_to_the_end(part, stop))


async def _sync(daemon: Daemon, stop: asyncio.Event, *, init: bool) -> None:
    garbage.seldom()
    await daemon.wait_until_fit(stop, init=init)
    async with asyncio.TaskGroup() as group:
        group.create_task(_keep_what_was_built(daemon, stop))
        await daemon.run(stop)


async def _keep_what_was_built(daemon: Daemon, stop: asyncio.Event) -> None:
    """Once all flows have begun, most of what the daemon holds stays as it is."""
    while not (daemon.begun or stop.is_set()):
        await pause(stop, LOOK_SECONDS)
    garbage.keep()


async def _to_the_end(part: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Run one part; when it ends for any reason, stop the other parts too."""
    try:
        await part
    finally:
        stop.set()


async def notify(daemon: Daemon, stop: asyncio.Event) -> None:
    """Keep the service manager informed, and its watchdog fed while every flow makes progress or waits."""

    def health() -> Health:
        status = daemon.status()
        return Health(summary(status), not status.stuck)

    await keep_informed(stop, lambda: daemon.begun, health)


def summary(status: DaemonStatus) -> str:
    """One line for the service manager, which ignores messages of more than 4096 bytes."""
    if status.troubles:
        more = len(status.troubles) - MOST_TROUBLES
        return "; ".join([*status.troubles[:MOST_TROUBLES], *([f"and {more:,} more"] if more > 0 else [])])
    rate = sum(flow.rows_per_second for flow in status.flows)
    lag = max((flow.lag_seconds for flow in status.flows), default=0.0)
    return f"{len(status.flows)} flows running, {rate:.0f} rows/s, lag {lag * 1000:.0f} ms"
