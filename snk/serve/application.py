"""The service as an application: a route for each thing that can be done with each dataset."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import structlog
from fastapi import Depends, FastAPI, Path, Query, Request, Response

from snk.http.api.application import answer_errors, described_application
from snk.http.api.described import KEY_HEADER, answered, closed, problems
from snk.http.api.entry import Entry
from snk.http.auth.authority import Client
from snk.serve import described
from snk.serve.asked import DAY_SECONDS, TIME
from snk.serve.endpoints import Endpoints

MINUTE_SECONDS = 60
WRONG_METHOD = 405

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pages:
    """How many records a page has, and may have."""

    rows: int
    rows_max: int


def application(datasets: Mapping[str, Endpoints], entry: Entry, pages: Pages, *, docs: bool, closed: bool) -> FastAPI:
    """The application.

    Args:
        datasets: the endpoints of each dataset.
        entry: lets clients in.
        pages: how many records they have.
        docs: whether /docs and /openapi.json are there.
        closed: whether clients must say who they are.
    """
    app = described_application("SNK serve", docs=docs, closed=closed)
    for each in datasets.values():
        _add_page(app, each, entry, pages)
        if each.dataset.time:
            _add_frame(app, each, entry)
            _add_digest(app, each, entry)
        if each.dataset.write:
            _add_store(app, each, entry, batch=False)
            _add_store(app, each, entry, batch=True)
    answer_errors(app)
    return app


def _add_page(app: FastAPI, endpoints: Endpoints, entry: Entry, pages: Pages) -> None:
    name = endpoints.dataset.name
    names = ("limit", "after", *(("from", "to") if endpoints.dataset.time else ()))
    answers = answered(200, "a page", described.page(endpoints.dataset))
    timed = bool(endpoints.dataset.time)

    @app.get(
        f"/v1/{name}",
        dependencies=[Depends(entry.to(f"{name}:read", names))],
        responses={**answers, **described.unchanged(), **problems()},
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
        responses={**described.frame(), **described.unchanged(), **problems()},
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
    answers = answered(200, "count and digest", described.digest())

    @app.get(
        f"/v1/{name}/digest",
        dependencies=[Depends(entry.to(f"{name}:read", ("from", "to", "columns")))],
        responses={**answers, **described.unchanged(), **problems()},
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
    answers = answered(201, "stored", closed(stored))

    @app.post(
        f"/v1/{name}/batch" if batch else f"/v1/{name}",
        status_code=201,
        responses={**answers, **problems(409, 413, 415)},
        openapi_extra={
            "parameters": [KEY_HEADER],
            "requestBody": described.body(endpoints.dataset, batch=batch),
        },
        summary=f"Store {'records, all or none' if batch else 'one record'} in {name}",
    )
    async def store(request: Request, client: Annotated[Client, Depends(entry.to(f"{name}:write"))]) -> Response:
        return await endpoints.store(request, client, batch=batch)
