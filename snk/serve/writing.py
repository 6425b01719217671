"""Stores records: each request in one transaction with the answer that is kept for it."""

import json
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.http.api.problem import BUSY_SECONDS, Problem
from snk.serve.answered import Answer, Answered, Name
from snk.serve.database import Database
from snk.serve.inserting import insert
from snk.serve.payload import Payload
from snk.serve.refusal import is_refusal, refusal
from snk.serve.table import Dataset

CREATED = 201
ROUNDS = 3
"""An answer that was committed after the look for it is found in the next round."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer to a request that stores.

    Attributes:
        replayed: whether it was given before.
    """

    answer: Answer
    replayed: bool


class _Kept(Exception):  # noqa: N818 - no error
    """Another answer was kept meanwhile; the transaction is undone."""


class Writing:
    """Stores records of any dataset.

    Args:
        database: where they go.
        answered: the answers that were given before.
    """

    def __init__(self, database: Database, answered: Answered) -> None:
        self._database = database
        self._answered = answered

    async def store(self, dataset: Dataset, name: Name, payload: Payload) -> Stored:
        """Store all records of a payload, or none.

        Raises:
            Problem: they are refused, or the same key is in use.
            SnkError: the database failed; whether they are stored is known when they are sent again.
        """
        async with self._database.connection("write") as connection:
            for _ in range(ROUNDS):
                try:
                    async with connection.begin():
                        return await self._store(connection, dataset, name, payload)
                except _Kept:
                    continue
                except DBAPIError as error:
                    if not is_refusal(error):
                        raise
                    raise await refusal(connection, dataset, payload, error) from error
        raise _running()

    async def _store(self, connection: AsyncConnection, dataset: Dataset, name: Name, payload: Payload) -> Stored:
        mine, before = await self._answered.look(connection, name)
        if before is not None:
            if before.payload != payload.hash:
                raise Problem(422, "key-reused", "This Idempotency-Key came with another payload: use a new one")
            return Stored(before, replayed=True)
        if not mine:
            raise _running()
        key = await insert(connection, dataset, payload.records)
        told = f'{{"stored":{len(payload.records)}}}' if payload.batch else f'{{"key":{key or json.dumps(None)}}}'
        answer = Answer(payload.hash, CREATED, told.encode())
        if not await self._answered.keep(connection, name, answer):
            raise _Kept
        return Stored(answer, replayed=False)


def _running() -> Problem:
    words = "A request with this Idempotency-Key is under way: send it again later"
    return Problem(409, "key-running", words, headers={"Retry-After": str(BUSY_SECONDS)})
