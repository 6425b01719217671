"""Tells consumers, for one node, that the platform has ended their runs and that they must stop writing.

A consumer that does not answer is told again, at the task's interval, for a day. So many are told at once at most that
calls which are due find connections, however many consumers are silent.
"""

from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.definition import Task
from snk.batch.platform import stops
from snk.batch.platform.calling import Caller
from snk.batch.platform.defining import NotUnderstood, target_of
from snk.batch.platform.stops import Owed
from snk.batch.platform.telling import MOST_WAIT_SECONDS, instance, outcome, wait_seconds
from snk.db.pool import Pool
from snk.errors import SnkError
from snk.log import Reminder

AT_ONCE = 50
Noting = Callable[[AsyncConnection], Awaitable[None]]

log = structlog.get_logger()


class Stopping:
    """What one node tells."""

    def __init__(self, pool: Pool, caller: Caller) -> None:
        self._pool = pool
        self._caller = caller
        self._under_way = 0
        self._reminder = Reminder()

    async def take(self) -> list[Owed]:
        """Take what is due; pass each item to `tell`.

        Raises:
            SnkError: the database failed.
        """
        free = AT_ONCE - self._under_way
        if free <= 0:
            return []
        async with self._pool.connection("statement") as connection:
            taken = await stops.take(connection, free)
        self._under_way += len(taken)
        return taken

    async def tell(self, owed: Owed) -> None:
        """Tell a consumer, and note what came of it; if that cannot be noted, it is told again later."""
        try:
            noting = await self._told(owed)
            async with self._pool.connection("statement") as connection:
                await noting(connection)
        except SnkError as error:
            self._failed(owed, str(error))
        except Exception:
            log.exception("stop_failed", run=owed.run, task=owed.task, effect="it is tried again")
        finally:
            self._under_way -= 1

    async def _told(self, owed: Owed) -> Noting:
        task = _task(owed)
        if isinstance(task, str):
            return self._again(owed, task, MOST_WAIT_SECONDS)
        consumer = instance(owed.consumer, task.consumers, owed.tries - 1)
        status, words = await self._caller.stop(consumer, owed, task)
        match outcome(status):
            case "stopped":
                self._reminder.over()
                log.info("consumer_stopped", run=owed.run, task=owed.task, consumer=consumer)
                return partial(stops.told, owed=owed)
            case "refused":
                effect = "it is not told again; it may go on with the run"
                log.warning(
                    "stop_refused", run=owed.run, task=owed.task, consumer=consumer, reason=words, effect=effect
                )
                return partial(stops.refused, owed=owed, reason=f"{consumer}: {words}")
            case "again":
                return self._again(owed, f"{consumer}: {words}", wait_seconds(task.interval_seconds))

    def _again(self, owed: Owed, reason: str, seconds: float) -> Noting:
        self._failed(owed, reason)
        return partial(stops.failed, owed=owed, reason=reason, again_seconds=seconds)

    def _failed(self, owed: Owed, reason: str) -> None:
        if self._reminder.due(reason):
            log.warning("consumer_not_stopped", run=owed.run, task=owed.task, reason=reason, effect="it is told again")


def _task(owed: Owed) -> Task | str:
    """The task of a run, or why it cannot be known whom to tell, and by which credentials."""
    if owed.definition is None:
        return "its task is not defined any more"
    try:
        task = target_of(owed.task, "task", owed.definition)
    except NotUnderstood as error:
        return str(error)
    return task if isinstance(task, Task) else f"{owed.task} is a group now"
