"""``/health``: whether a service can do its work."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from snk.errors import Busy, SnkError


def add_health(app: FastAPI, alive: Callable[[], Awaitable[None]]) -> None:
    """Add the page.

    Args:
        app: where it is added.
        alive: asks the database for a sign of life; raises `Busy` if all connections to it are in use, and another
            `SnkError` if it does not answer.
    """

    @app.api_route("/health", methods=["GET", "HEAD"], include_in_schema=False)
    async def health() -> Response:
        try:
            await alive()
        except Busy:  # so it is reachable
            return JSONResponse({"status": "busy"})
        except SnkError:
            return JSONResponse({"status": "not healthy"}, 503)
        return JSONResponse({"status": "ok"})
