"""``snk run``: the daemon."""

import asyncio
import signal
from typing import Annotated

import structlog
import typer
import uvloop

from snk.cli.common import pair_of, start
from snk.settings import Settings
from snk.sync.daemon import Daemon, wait_until_fit
from snk.sync.flow import Limits

log = structlog.get_logger()


def run(
    *,
    init: Annotated[bool, typer.Option("--init", help="First do what `snk init` does.")] = False,
) -> None:
    """Keep the tables equal until told to stop by SIGTERM or Ctrl-C."""
    uvloop.run(_run(start(), init=init))


async def _run(settings: Settings, *, init: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    pair = pair_of(settings)
    await wait_until_fit(pair, stop, init=init)
    daemon = Daemon(pair, Limits(settings.snk_batch_rows, settings.snk_poll_max_ms), settings.redis_dsn)
    await daemon.run(stop)
