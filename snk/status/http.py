"""The daemon over HTTP: ``/health``, ``/status`` and ``/metrics``, inside the daemon's own event loop."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from snk.core.report import DaemonStatus
from snk.errors import ServiceUnfit
from snk.status.metrics import exposition

KEEP_ALIVE_SECONDS = 5
MOST_CONNECTIONS = 50

log = structlog.get_logger()


def as_json(status: DaemonStatus) -> dict[str, Any]:
    """The status as ``/status`` shows it: every field by its name, and what follows from them."""
    told = asdict(status)
    for flow, values in zip(told["flows"], status.flows, strict=True):
        flow["name"] = values.name
    return {"healthy": status.healthy, **told}


def application(status: Callable[[], DaemonStatus]) -> FastAPI:
    """The three pages, each made from a fresh status."""
    app = FastAPI(title="SNK", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    async def health() -> JSONResponse:
        now = status()
        if now.healthy:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "not healthy", "reasons": now.troubles}, status_code=503)

    @app.get("/status")
    async def whole() -> JSONResponse:
        return JSONResponse(as_json(status()))

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(exposition(status()), media_type=CONTENT_TYPE_LATEST)

    return app


def listening(host: str, port: int) -> socket.socket:
    """A socket bound to this address, port 0 for any free one.

    Raises:
        ServiceUnfit: the address cannot be had.
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
    return bound


async def serve(status: Callable[[], DaemonStatus], bound: socket.socket, stop: asyncio.Event) -> None:
    """Serve on a bound socket until ``stop`` is set."""
    config = uvicorn.Config(
        application(status),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
        limit_concurrency=MOST_CONNECTIONS,
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
