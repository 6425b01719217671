"""The service as an application: a route for each thing that can be done with each dataset."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import structlog
from fastapi import Depends, FastAPI, Path, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.routing import Route

from snk import __version__
from snk.errors import RowRefused, SnkError
from snk.log import Reminder
from snk.serve import described
from snk.serve.asked import DAY_SECONDS, TIME
from snk.serve.auth.authority import Client
from snk.serve.endpoints import Endpoints
from snk.serve.entry import Entry
from snk.serve.problem import Problem, invalid, of_database

MINUTE_SECONDS = 60
WRONG_METHOD = 405

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pages:
    """How many records a page has, and may have."""

    rows: int
    rows_max: int


class _Shown(SecurityBase):
    """A way to say who one is, for the description only: `Entry` looks at it."""

    def __init__(self, scheme: str) -> None:
        self.model = HTTPBase(scheme=scheme)
        self.scheme_name = scheme

    async def __call__(self, _: Request) -> None:
        """Nothing."""


def application(datasets: Mapping[str, Endpoints], entry: Entry, pages: Pages, *, docs: bool, closed: bool) -> FastAPI:
    """The application.

    Args:
        datasets: the endpoints of each dataset.
        entry: lets clients in.
        pages: how many records they have.
        docs: whether /docs and /openapi.json are there.
        closed: whether clients must say who they are.
    """
    given: dict[str, Any] = {"title": "SNK serve", "version": __version__, "redirect_slashes": False}
    if closed:
        given["dependencies"] = [Security(_Shown(scheme)) for scheme in ("bearer", "basic")]
    app = (
        FastAPIOffline(redoc_url=None, **given)
        if docs
        else FastAPI(docs_url=None, redoc_url=None, openapi_url=None, **given)
    )
    for each in datasets.values():
        _add_page(app, each, entry, pages)
        if each.dataset.time:
            _add_frame(app, each, entry)
            _add_digest(app, each, entry)
        if each.dataset.write:
            _add_store(app, each, entry, batch=False)
            _add_store(app, each, entry, batch=True)
    _answer_errors(app)
    return app


def _add_page(app: FastAPI, endpoints: Endpoints, entry: Entry, pages: Pages) -> None:
    name = endpoints.dataset.name
    names = ("limit", "after", *(("from", "to") if endpoints.dataset.time else ()))
    answers = described.answered(200, "a page", described.page(endpoints.dataset))
    timed = bool(endpoints.dataset.time)

    @app.get(
        f"/v1/{name}",
        dependencies=[Depends(entry.to(f"{name}:read", names))],
        responses={**answers, **described.unchanged(), **described.problems()},
        summary=f"A page of {name}",
    )
    async def page(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=pages.rows_max)] = pages.rows,
        after: str | None = None,
        start: Annotated[str | None, Query(alias="from", pattern=TIME, include_in_schema=timed)] = None,
        end: Annotated[str | None, Query(alias="to", pattern=TIME, include_in_schema=timed)] = None,
    ) -> Response:
        return await endpoints.page(request, limit, after, start, end)


def _add_frame(app: FastAPI, endpoints: Endpoints, entry: Entry) -> None:
    name = endpoints.dataset.name

    @app.get(
        f"/v1/{name}/frames/{{minute}}",
        dependencies=[Depends(entry.to(f"{name}:read", ("seconds",)))],
        responses={**described.frame(), **described.unchanged(), **described.problems()},
        summary=f"All records of {name} of a span of time",
    )
    async def frame(
        request: Request,
        minute: Annotated[str, Path(pattern=TIME)],
        seconds: Annotated[int, Query(ge=1, le=DAY_SECONDS)] = MINUTE_SECONDS,
    ) -> Response:
        return await endpoints.frame(request, minute, seconds)


def _add_digest(app: FastAPI, endpoints: Endpoints, entry: Entry) -> None:
    name = endpoints.dataset.name
    answers = described.answered(200, "count and digest", described.digest())

    @app.get(
        f"/v1/{name}/digest",
        dependencies=[Depends(entry.to(f"{name}:read", ("from", "to", "columns")))],
        responses={**answers, **described.unchanged(), **described.problems()},
        summary=f"Count and digest of the records of {name} of a span of time",
    )
    async def digest(
        request: Request,
        start: Annotated[str, Query(alias="from", pattern=TIME)],
        end: Annotated[str, Query(alias="to", pattern=TIME)],
        columns: str | None = None,
    ) -> Response:
        return await endpoints.digest(request, start, end, columns)


def _add_store(app: FastAPI, endpoints: Endpoints, entry: Entry, *, batch: bool) -> None:
    name = endpoints.dataset.name
    stored = {"stored": {"type": "integer"}} if batch else {"key": {}}
    answers = described.answered(201, "stored", described.closed(stored))

    @app.post(
        f"/v1/{name}/batch" if batch else f"/v1/{name}",
        status_code=201,
        responses={**answers, **described.problems(409, 413, 415)},
        openapi_extra={
            "parameters": [described.KEY_HEADER],
            "requestBody": described.body(endpoints.dataset, batch=batch),
        },
        summary=f"Store {'records, all or none' if batch else 'one record'} in {name}",
    )
    async def store(request: Request, client: Annotated[Client, Depends(entry.to(f"{name}:write"))]) -> Response:
        return await endpoints.store(request, client, batch=batch)


def _methods(app: FastAPI, path: str) -> set[str]:
    """The methods that a path knows."""
    routes = (route for route in app.routes if isinstance(route, Route) and route.path_regex.match(path))
    return {method for route in routes for method in route.methods or ()}


def _answer_errors(app: FastAPI) -> None:
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
