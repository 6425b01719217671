"""``snk handoff front``: take writes, send them to all backends, and log what one of them missed."""

import asyncio
import os
import socket

import structlog
import uvloop

from snk.errors import SettingsError
from snk.handoff.codecs.hustdb import Hustdb
from snk.handoff.front import Front, Options, SyncServer
from snk.handoff.log import Log
from snk.handoff.names import is_backend
from snk.handoff.settings import Handoff, load_settings
from snk.http.service import Address, listening
from snk.log import configure_log
from snk.options import Config
from snk.settings import config_path
from snk.signals import hear_ctrl_c, when_told_to_stop

FEWEST = 2
HEAD_BYTES = 8192
"""No request has a longer head, so no line of a log has more beside its value."""

log = structlog.get_logger()


def front(*, config: Config = None) -> None:
    """Serve hustdb's writes until stopped; a write that one backend missed is kept for the sync server."""
    hear_ctrl_c()
    settings = load_settings(config)
    try:
        _check(settings)
    except SettingsError as error:
        raise SettingsError(f"{config_path(config)}: {error.args[0]}", hint=error.hint) from None
    configure_log("console", "info")
    address = Address(settings.front.host, settings.front.port, "handoff.front.host", "handoff.front.port")
    with listening(address, guarded=True) as bound:
        uvloop.run(_run(settings, bound))


def _check(settings: Handoff) -> None:
    backends = settings.front.backends
    if wrong := next((name for name in backends if not is_backend(name)), None):
        raise SettingsError(f"handoff.front.backends has {wrong!r}, which is not a host and a port")
    if len(set(backends)) < max(FEWEST, len(backends)):
        hint = 'Write at least two different ones, such as ["10.0.0.1:9998", "10.0.0.2:9998"]'
        raise SettingsError(f"handoff.front.backends is {list(backends)}", hint=hint)
    if settings.codec != "hustdb":
        raise SettingsError(f"handoff.codec is {settings.codec!r}, and the front takes writes of hustdb")
    if not (settings.logs.is_dir() and os.access(settings.logs, os.R_OK | os.W_OK | os.X_OK)):
        hint = "Create it, and let this user write there"
        raise SettingsError(f"handoff.logs is {str(settings.logs)!r}, which is no writable folder", hint=hint)


async def _run(settings: Handoff, bound: socket.socket) -> None:
    stop = asyncio.Event()
    when_told_to_stop(stop.set)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    sync = SyncServer(f"{host}:{settings.port}", settings.user, settings.password.get_secret_value())
    options = Options(
        settings.authorization(),
        key_form=settings.key_form,
        tls=settings.tls,
        most_body=max(1, settings.line_bytes_max * 3 // 4 - HEAD_BYTES),
    )
    with Log(settings.logs, Hustdb(settings.key_form), settings.limit_bytes) as missed:
        serving = Front(settings.front.backends, missed, sync, options)
        try:
            await serving.start(bound)
            name, port = bound.getsockname()[:2]
            log.info("front_listening", host=name, port=port, backends=list(settings.front.backends))
            await stop.wait()
            log.info("front_stopped")
        finally:
            await serving.stop()
