"""Asks a server in one statement what many ask it at the same time, each about a key of its own.

Hundreds of flows begin at once, and each asks the same about its table. While one statement is under way, or waits for
a connection, questions gather for the next one. If the server refuses a statement, nobody is failed for the key of
another: then each key is asked about alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.errors import refused
from snk.db.lender import Lender
from snk.errors import SnkError, Unavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Ask = Callable[[AsyncConnection, Sequence[K]], Awaitable[Mapping[K, V | SnkError]]]
"""Answers for all keys; with an error for a key about which only its asker is to hear."""


class Together(Generic[K, V]):
    """One question, about any number of keys."""

    def __init__(self, lender: Lender, ask: Ask[K, V], most: int, alone: Ask[K, V] | None = None) -> None:
        """Assign.

        Args:
            lender: the connections to the server.
            ask: the question.
            most: how many keys go into one statement.
            alone: the question about a key that was refused, if it is another one: it may take long.
        """
        self._lender = lender
        self._ask = ask
        self._alone = alone or ask
        self._most = most
        self._waiting: dict[str, dict[K, asyncio.Future[V]]] = {}
        self._tasks: set[asyncio.Future[None]] = set()

    async def of(self, key: K, boot: str) -> V:
        """The answer for one key, in a boot of the server.

        Raises:
            Unavailable: the server cannot be reached, or has another boot.
            SnkError: what the answer for this key is.
        """
        waiting = self._waiting.get(boot)
        if waiting is None:
            waiting = self._waiting[boot] = {}
            self._begin(self._until_all_are_answered(boot), waiting)
        answer = waiting.get(key)
        if answer is None:
            answer = waiting[key] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(_heard)
        return await asyncio.shield(answer)

    async def close(self) -> None:
        """Stop asking; pending callers get an error."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._waiting.clear()

    def _begin(self, work: Awaitable[None], asked: Mapping[K, asyncio.Future[V]]) -> None:
        """Do work in a task; whatever is asked and was not answered at its end never will be."""

        def ended(task: asyncio.Future[None]) -> None:
            self._tasks.discard(task)
            _fail(asked, self._ended())

        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(ended)

    async def _until_all_are_answered(self, boot: str) -> None:
        waiting = self._waiting[boot]
        while waiting:
            asked = {key: waiting.pop(key) for key in list(waiting)[: self._most]}
            await self._answer(boot, asked, self._ask)
        del self._waiting[boot]

    async def _answer(self, boot: str, asked: Mapping[K, asyncio.Future[V]], ask: Ask[K, V]) -> None:
        try:
            found = await self._asked(boot, list(asked), ask)
            for key, answer in asked.items():
                _give(answer, found[key])
        except asyncio.CancelledError:
            _fail(asked, self._ended())
            raise
        except Exception as error:  # noqa: BLE001 - passed on to the callers
            if not (isinstance(error, SnkError) and refused(error) and (len(asked) > 1 or ask is not self._alone)):
                _fail(asked, error)
                return
            for key, answer in asked.items():
                one = {key: answer}
                self._begin(self._answer(boot, one, self._alone), one)

    def _ended(self) -> Unavailable:
        return Unavailable(f"{self._lender.server.address}: nobody asks any more")

    async def _asked(self, boot: str, keys: Sequence[K], ask: Ask[K, V]) -> Mapping[K, V | SnkError]:
        async with self._lender.lend(boot=boot) as kept:
            with self._lender.interruptible(kept):
                async with self._lender.server.answering(kept.connection):
                    return await ask(kept.connection, keys)


def _fail(asked: Mapping[K, asyncio.Future[V]], error: Exception) -> None:
    for answer in asked.values():
        if not answer.done():
            answer.set_exception(error)


def _give(answer: asyncio.Future[V], found: V | SnkError) -> None:
    if answer.done():
        return
    if isinstance(found, SnkError):
        answer.set_exception(found)
    else:
        answer.set_result(found)


def _heard(answer: asyncio.Future[V]) -> None:
    """Who asked may have been cancelled meanwhile: an error is no defect then."""
    if not answer.cancelled():
        answer.exception()
