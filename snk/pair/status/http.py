"""The daemon over HTTP: ``/health``, ``/status`` and ``/metrics``, inside the daemon's own event loop."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from snk.errors import ServiceUnfit, SettingsError
from snk.pair.core.report import DaemonStatus
from snk.pair.status.guard import MOST_HEAD_BYTES, BriefProtocol, Door, Guard, is_loopback
from snk.pair.status.metrics import exposition

log = structlog.get_logger()


def as_json(status: DaemonStatus) -> dict[str, Any]:
    """The status as ``/status`` shows it: every field by its name, and what follows from them."""
    told = asdict(status)
    for flow, values in zip(told["flows"], status.flows, strict=True):
        flow["name"] = values.name
    return {"healthy": status.healthy, **told}


def application(status: Callable[[], DaemonStatus]) -> FastAPI:
    """The three pages, each made from a fresh status."""
    app = FastAPI(title="SNK", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)

    @app.get("/health")
    async def health(request: Request) -> JSONResponse:
        now = status()
        if now.healthy:
            return JSONResponse({"status": "ok"})
        # Whoever may not know more hears the verdict, and no names or addresses.
        reasons = {"reasons": now.troubles} if request.state.trusted else {}
        return JSONResponse({"status": "not healthy", **reasons}, status_code=503)

    @app.get("/status")
    async def whole() -> JSONResponse:
        return JSONResponse(as_json(status()))

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(exposition(status()), media_type=CONTENT_TYPE_LATEST)

    return app


def listening(host: str, port: int, *, guarded: bool) -> socket.socket:
    """A socket bound to this address, port 0 for any free one.

    Args:
        host: its name or address.
        port: its number.
        guarded: whether who asks has to know a token.

    Raises:
        ServiceUnfit: the address cannot be had.
        SettingsError: others than this machine could ask there, and no token is set.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        hint = "SNK_HTTP_HOST and SNK_HTTP_PORT are to name an address of this machine that nobody else listens on"
        raise ServiceUnfit(f"Cannot listen on {host}:{port}: {error.strerror}", hint=hint) from error
    if not guarded and not is_loopback(bound.getsockname()[0]):
        bound.close()
        hint = "Set SNK_HTTP_TOKEN to what `openssl rand -hex 32` prints, or SNK_HTTP_HOST to 127.0.0.1"
        raise SettingsError(f"SNK_HTTP_HOST is {host!r}, which others than this machine can reach", hint=hint)
    return bound


async def serve(status: Callable[[], DaemonStatus], bound: socket.socket, stop: asyncio.Event, door: Door) -> None:
    """Serve on a bound socket until ``stop`` is set."""
    config = uvicorn.Config(
        Guard(application(status), door),
        http=BriefProtocol,
        ws="none",
        log_config=None,
        log_level="error",  # below it, strangers could fill the log
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        timeout_graceful_shutdown=1,
        lifespan="off",
    )
    server = _Server(config)
    host, port = bound.getsockname()[:2]
    log.info("http_listening", host=host, port=port)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(sockets=[bound]))
        stopping = group.create_task(stop.wait())
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        stopping.cancel()


class _Server(uvicorn.Server):
    """Uvicorn, but signals are the daemon's business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
