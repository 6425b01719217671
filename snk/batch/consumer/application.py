"""The consumer's endpoints: calls from the platform, health, status and metrics."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from pydantic import ValidationError

from snk.batch.consumer.taking import Refused
from snk.batch.definition import NAME
from snk.batch.faults import first_fault
from snk.batch.scopes import STATUS, WORK
from snk.batch.state import LIVE, State
from snk.batch.wire import MOST_COUNT, Call, Told
from snk.http.api.application import answer_errors, described_application
from snk.http.api.body import body_of
from snk.http.api.counts import Answers
from snk.http.api.entry import Entry
from snk.http.api.health import add_health
from snk.http.api.problem import Problem, invalid
from snk.http.pages import exposition

TaskName = Annotated[str, Path(pattern=NAME)]


@dataclass(frozen=True, slots=True)
class Status:
    """What a consumer knows of itself.

    Attributes:
        runs: the numbers of those that it works on; runs of two platforms may have the same.
        ended: files that ended, by state.
        sent: reports that the platform has.
        given_up: reports that it refused for good.
    """

    answers: Answers
    runs: list[int]
    ended: dict[str, int]
    sent: int
    given_up: int

    @property
    def as_json(self) -> dict[str, Any]:
        """The status, as ``/status`` shows it."""
        answers = self.answers.as_json
        reports = {"sent": self.sent, "given_up": self.given_up}
        return {"runs": self.runs, "files_ended": self.ended, "reports": reports, "answers": answers}


class StatusCollector(Collector):
    """Converts one status to metrics."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> list[Any]:
        """Every metric."""
        status = self._status
        ended = CounterMetricFamily("snk_consumer_files", "Files that ended, by state.", labels=["state"])
        for state, count in sorted(status.ended.items()):
            ended.add_metric([state], count)
        return [
            status.answers.counted("snk_consumer_answers", "Answers to requests."),
            ended,
            GaugeMetricFamily("snk_consumer_runs", "Runs that are worked on.", len(status.runs)),
            CounterMetricFamily("snk_consumer_reports", "Reports that the platform has.", status.sent),
            CounterMetricFamily("snk_consumer_reports_given_up", "Reports that it refused.", status.given_up),
        ]


@dataclass(frozen=True, slots=True)
class Doors:
    """What the endpoints lead to.

    Attributes:
        take: takes a call, and returns the report.
        cancel: stops a run of a task, by its uid and a fence, and returns its state.
        alive: raises an error if the database does not answer.
        status: makes a fresh status.
    """

    take: Callable[[Call], Awaitable[Told]]
    cancel: Callable[[str, UUID, int], Awaitable[State]]
    alive: Callable[[], Awaitable[None]]
    status: Callable[[], Status]


def application(entry: Entry, doors: Doors, *, closed: bool) -> FastAPI:
    """The application.

    Args:
        entry: lets clients in.
        doors: what is behind it.
        closed: whether clients must say who they are.
    """
    app = described_application("SNK batch consumer", docs=True, closed=closed)

    @app.post("/v1/tasks/{task}", dependencies=[Depends(entry.to(WORK))], summary="Work on a run, or report")
    async def work(request: Request, task: TaskName) -> Response:
        call = _call(await body_of(request), task)
        try:
            told = await doors.take(call)
        except Refused as refused:
            raise _problem(refused) from None
        return Response(told.model_dump_json(), 202 if told.state in LIVE else 200, media_type="application/json")

    ending = [Depends(entry.to(WORK, ("uid", "fence")))]

    @app.delete("/v1/tasks/{task}", dependencies=ending, summary="Stop a run that the platform has ended")
    async def cancel(task: TaskName, uid: UUID, fence: Annotated[int, Query(ge=0, le=MOST_COUNT)]) -> JSONResponse:
        try:
            state = await doors.cancel(task, uid, fence)
        except Refused as refused:
            raise _problem(refused) from None
        return JSONResponse({"uid": str(uid), "state": state})

    _add_pages(app, entry, doors)
    answer_errors(app)
    return app


def _problem(refused: Refused) -> Problem:
    return Problem(404 if refused.why == "not-found" else 409, refused.why, str(refused))


def _call(body: bytes, task: str) -> Call:
    try:
        call = Call.model_validate_json(body)
    except ValidationError as error:
        place, fault = first_fault(error)
        raise invalid(place, f"{place or 'the body'}: {fault}") from None
    if call.task != task:
        raise invalid("task", f"task is {call.task!r}, and the path names {task!r}")
    return call


def _add_pages(app: FastAPI, entry: Entry, doors: Doors) -> None:
    trusted = [Depends(entry.to(STATUS))]

    add_health(app, doors.alive)

    @app.get("/status", include_in_schema=False, dependencies=trusted)
    async def whole() -> Response:
        return JSONResponse(doors.status().as_json)

    @app.get("/metrics", include_in_schema=False, dependencies=trusted)
    async def metrics() -> Response:
        return Response(exposition(StatusCollector(doors.status())), media_type=CONTENT_TYPE_LATEST)
