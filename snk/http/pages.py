"""The endpoints of every daemon: ``/health``, ``/status`` and ``/metrics``."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

S = TypeVar("S")
_JSON = orjson.OPT_NON_STR_KEYS


@dataclass(frozen=True, slots=True)
class Pages(Generic[S]):
    """What the endpoints show of a status.

    Attributes:
        as_json: the status as JSON; it may hold dataclasses.
        metrics: the status as Prometheus metrics.
    """

    as_json: Callable[[S], dict[str, Any]]
    metrics: Callable[[S], Collector]


def application(
    troubles: Callable[[], Sequence[str]], status: Callable[[], S], pages: Pages[S], more: Sequence[BaseRoute] = ()
) -> Starlette:
    """The three endpoints, and more; each response is fresh.

    Args:
        troubles: why the daemon is not healthy; empty if it is. This is asked for often.
        status: the whole status.
        pages: how it is shown.
        more: routes.
    """

    async def health(request: Request) -> JSONResponse:
        reasons = troubles()
        if not reasons:
            return JSONResponse({"status": "ok"})
        # A client that is not trusted gets the verdict, but no names or addresses.
        told = {"reasons": list(reasons)} if request.state.trusted else {}
        return JSONResponse({"status": "not healthy", **told}, status_code=503)

    async def whole(_: Request) -> Response:
        return Response(orjson.dumps(pages.as_json(status()), option=_JSON), media_type="application/json")

    async def metrics(_: Request) -> Response:
        # A thousand tables take a third of a second to write; in a thread, the service does not stand still meanwhile.
        text = await asyncio.to_thread(exposition, pages.metrics(status()))
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    known = [Route("/health", health), Route("/status", whole), Route("/metrics", metrics)]
    app = Starlette(routes=[*known, *more])
    app.router.redirect_slashes = False
    return app


def exposition(collector: Collector) -> bytes:
    """Metrics, and those of the process, in the Prometheus text format."""
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    return generate_latest(registry)
