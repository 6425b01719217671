"""``snk batch consumer``: the service."""

import asyncio
import socket

import uvloop

from snk.batch.consumer.service import Service
from snk.batch.consumer.settings import Consumer, load_settings
from snk.http.service import Address, listening
from snk.log import configure_log
from snk.options import Config, LogFormat
from snk.signals import hear_ctrl_c, when_told_to_stop


def run(
    *,
    log_format: LogFormat = "console",
    config: Config = None,
) -> None:
    """Load and reconcile files when the platform calls, until stopped. `snk batch consumer` alone means the same."""
    hear_ctrl_c()
    settings = load_settings(config)
    configure_log(log_format, "info")
    hint = "Name the platform in [consumer.auth], such as [[consumer.auth.issuers]]"
    address = Address(settings.host, settings.port, "consumer.host", "consumer.port", guard_hint=hint)
    with listening(address, guarded=settings.auth.closed) as bound:
        uvloop.run(_run(settings, bound))


async def _run(settings: Consumer, bound: socket.socket) -> None:
    stop = asyncio.Event()
    when_told_to_stop(stop.set)
    await Service(settings).run(bound, stop)
