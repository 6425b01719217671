"""What requests do to the platform's tables, and which problems come of that."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from fastapi import FastAPI, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.backfilling import NoBackfill
from snk.batch.platform.defining import NotUnderstood
from snk.batch.platform.moves import Unknown
from snk.batch.platform.triggering import Differs, Reserved
from snk.batch.state import Refused
from snk.db.pool import Pool
from snk.errors import Stop
from snk.http.api.problem import Problem

T = TypeVar("T")
_PROBLEMS: dict[type[Stop], tuple[int, str]] = {
    Unknown: (404, "not-found"),
    Refused: (409, "wrong-state"),
    Differs: (422, "key-reused"),
    Reserved: (422, "key-reserved"),
    NoBackfill: (422, "no-backfill"),
    NotUnderstood: (503, "not-understood"),
}


@dataclass(frozen=True, slots=True)
class Desk:
    """Where requests are worked on.

    Attributes:
        pool: connections to the tables.
        hurry: called after a change, so that this node looks at once what follows from it.
    """

    pool: Pool
    hurry: Callable[[], None]

    async def asked(self, ask: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """What a function finds in the tables, all of it at one moment."""
        async with self.pool.connection("snapshot") as connection, connection.begin():
            return await ask(connection)

    async def done(self, do: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """What a function does to the tables, in one transaction."""
        async with self.pool.begin() as connection:
            found = await do(connection)
        self.hurry()
        return found


def answer_refusals(app: FastAPI) -> None:
    """Answer what the platform refuses as problems."""
    for family, (status, kind) in _PROBLEMS.items():
        app.add_exception_handler(family, _answering(status, kind))


def _answering(status: int, kind: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def refused(_: Request, error: Exception) -> Response:
        return Problem(status, kind, str(error)).response

    return refused
