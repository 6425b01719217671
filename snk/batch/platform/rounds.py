"""One round of a run: its consumer is called, and what came of that is noted if the run is held still."""

import random
import time
from collections.abc import Sequence

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.definition import Task
from snk.batch.platform.calling import Caller
from snk.batch.platform.claims import Called, Claim, give_back
from snk.batch.platform.moves import Held, Move, hold, move
from snk.batch.platform.reporting import FileReport, Report, take_held
from snk.batch.platform.tables import RUN, TASK
from snk.batch.state import LIVE, Event
from snk.batch.wire import Told
from snk.core.backoff import Backoff
from snk.db.locks import key_of
from snk.db.pool import Pool

_ONE_AT_A_TIME = sa.select(sa.func.pg_advisory_xact_lock(key_of("snk batch instance")))

log = structlog.get_logger()


class Rounds:
    """The rounds of one node.

    Attributes:
        node: its name.
    """

    def __init__(self, node: str, pool: Pool, caller: Caller) -> None:
        self.node = node
        self._pool = pool
        self._caller = caller

    async def round(self, claim: Claim) -> bool:
        """Call the consumer of a run that is held; return whether it was held until that was noted.

        Raises:
            SnkError: the database failed; the run is free again when its lease ends.
        """
        async with self._pool.begin() as connection:
            task = await self._task(connection, claim)
            consumer = await _instance(connection, task.consumers, claim)
        began = time.monotonic()
        answer = await self._caller.call(consumer, claim, task)
        worked = answer.told is not None
        wait = task.interval_seconds if worked else _delay(task, claim.tries)
        outcome = f"{answer.told.state}" if answer.told else answer.reason
        called = Called(claim, self.node, consumer, outcome, worked, wait, time.monotonic() - began)
        async with self._pool.begin() as connection:
            held = await hold(connection, claim.run)
            if held is None or not await give_back(connection, called):
                log.warning("run_overtaken", run=claim.run, fence=claim.fence, effect="nothing was changed")
                return False
            if answer.told:
                await _take(connection, held, answer.told, consumer)
            elif claim.tries + 1 >= task.most_tries and held.state in LIVE:
                reason = f"{claim.tries + 1} calls in a row failed; the last one: {answer.reason}"
                await move(connection, held, Move(Event.FAILED, self.node, reason))
        return True

    async def _task(self, connection: AsyncConnection, claim: Claim) -> Task:
        wanted = sa.select(TASK.c.definition).where(TASK.c.name == claim.task)
        return Task.model_validate((await connection.execute(wanted)).scalar_one())


async def _take(connection: AsyncConnection, held: Held, told: Told, consumer: str) -> None:
    files = {name: FileReport(**dict(each)) for name, each in told.files.items()}
    await take_held(connection, held, Report(min(told.fence, held.fence), told.state, consumer, told.reason, files))


async def _instance(connection: AsyncConnection, consumers: Sequence[str], claim: Claim) -> str:
    """The instance that is called: the one that works on the run; otherwise the one with the fewest runs."""
    last = claim.consumer
    if last is not None and last in consumers and not claim.tries:
        return last
    if len(consumers) == 1:
        return consumers[0]
    await connection.execute(_ONE_AT_A_TIME)  # otherwise runs that begin together would all choose the same one
    wanted = sa.select(RUN.c.consumer, sa.func.count()).where(RUN.c.active, RUN.c.consumer.in_(consumers))
    load: dict[str | None, int] = dict((await connection.execute(wanted.group_by(RUN.c.consumer))).tuples().all())
    others = [each for each in consumers if each != last] or consumers
    chosen = min(others, key=lambda each: (load.get(each, 0), random.random()))  # noqa: S311 - between equals
    mine = sa.and_(RUN.c.id == claim.run, RUN.c.fence == claim.fence)
    await connection.execute(sa.update(RUN).where(mine).values(consumer=chosen))
    return chosen


def _delay(task: Task, tries: int) -> float:
    backoff = Backoff(task.retry_first_ms / 1000, task.retry_most_ms / 1000, tries)
    return backoff.wait_seconds(random.random())  # noqa: S311 - jitter
