"""``snk serve``: the service."""

import asyncio
import socket

import uvloop

from snk.http.service import Address, listening
from snk.log import configure_log
from snk.options import Config, LogFormat
from snk.serve.service import Service
from snk.serve.settings import Serve, load_settings
from snk.signals import hear_ctrl_c, when_told_to_stop


def run(
    *,
    log_format: LogFormat = "console",
    config: Config = None,
) -> None:
    """Serve tables over HTTP until stopped. `snk serve` alone means the same."""
    hear_ctrl_c()
    settings = load_settings(config)
    configure_log(log_format, "info")
    hint = "Name clients in [serve.auth], such as [[serve.auth.tokens]]"
    address = Address(settings.host, settings.port, "serve.host", "serve.port", guard_hint=hint)
    with listening(address, guarded=settings.auth.closed) as bound:
        uvloop.run(_run(settings, bound))


async def _run(settings: Serve, bound: socket.socket) -> None:
    stop = asyncio.Event()
    when_told_to_stop(stop.set)
    await Service(settings).run(bound, stop)
