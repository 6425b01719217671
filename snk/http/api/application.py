"""An application that describes itself, and answers every error as a problem."""

from typing import Any

import structlog
from fastapi import FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.routing import Route

from snk import __version__
from snk.errors import RowRefused, SnkError
from snk.http.api.problem import Problem, invalid, of_database
from snk.log import Reminder

WRONG_METHOD = 405

log = structlog.get_logger()


class _Shown(SecurityBase):
    """A way to say who one is, for the description only: `Entry` looks at it."""

    def __init__(self, scheme: str) -> None:
        self.model = HTTPBase(scheme=scheme)
        self.scheme_name = scheme

    async def __call__(self, _: Request) -> None:
        """Nothing."""


def described_application(title: str, *, docs: bool, closed: bool) -> FastAPI:
    """An application without routes.

    Args:
        title: what it is called in its description.
        docs: whether /docs and /openapi.json are there.
        closed: whether clients must say who they are.
    """
    given: dict[str, Any] = {"title": title, "version": __version__, "redirect_slashes": False}
    if closed:
        given["dependencies"] = [Security(_Shown(scheme)) for scheme in ("bearer", "basic")]
    if docs:
        return FastAPIOffline(redoc_url=None, **given)
    return FastAPI(docs_url=None, redoc_url=None, openapi_url=None, **given)


def _methods(app: FastAPI, path: str) -> set[str]:
    """The methods that a path knows."""
    routes = (route for route in app.routes if isinstance(route, Route) and route.path_regex.match(path))
    return {method for route in routes for method in route.methods or ()}


def answer_errors(app: FastAPI) -> None:
    """Answer errors of all kinds as problems. To be called when all routes are there."""
    reminder = Reminder()

    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> Response:
        return error.response

    @app.exception_handler(SnkError)
    async def failed(_: Request, error: SnkError) -> Response:
        if not isinstance(error, RowRefused) and reminder.due(str(error)):
            log.warning("database_failed", reason=str(error), effect="the request is answered with 503")
        return of_database(error).response

    @app.exception_handler(Exception)
    async def defect(_: Request, __: Exception) -> Response:
        # It is raised again after this answer, and logged with its traceback.
        return Problem(500, "defect", "The service failed; its log tells why").response

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        kind = {404: "not-found", 405: "wrong-method"}.get(error.status_code, "invalid-request")
        headers = dict(error.headers or {})
        if error.status_code == WRONG_METHOD:  # the framework tells those of one route, and a path has several
            headers["Allow"] = ", ".join(sorted(_methods(app, request.url.path)))
        return Problem(error.status_code, kind, str(error.detail), headers=headers).response

    @app.exception_handler(RequestValidationError)
    async def parameters(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = str(first["loc"][-1])
        return invalid(field, f"{field}: {first['msg']}").response
