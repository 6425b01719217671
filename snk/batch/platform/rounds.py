"""One round of a run: its consumer is called, and what came of that is noted if the run is held still."""

import random
import time
from collections.abc import Sequence

import sqlalchemy as sa
import structlog
from pydantic import ValidationError

from snk.batch.definition import Task
from snk.batch.platform.calling import Caller
from snk.batch.platform.claims import Claim
from snk.batch.platform.noting import Called, Notes
from snk.batch.platform.reporting import report_of
from snk.batch.platform.tables import RUN
from snk.batch.state import LIVE
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

    def __init__(self, node: str, pool: Pool, caller: Caller, unreachable_tries: int = 3) -> None:
        self.node = node
        self._pool = pool
        self._caller = caller
        self._unreachable_tries = unreachable_tries
        self._notes = Notes(pool)
        self._tasks: dict[str, tuple[object, Task]] = {}

    async def round(self, claim: Claim) -> bool:
        """Call the consumer of a run that is held; return whether the run has ended with that.

        Raises:
            SnkError: the database failed; the run is free again when its lease ends.
        """
        task = self._task(claim)
        if task is None:
            reason = "its task is not defined as it should be"
            called = Called(claim, self.node, "", "not called", 0.0, 0.0, failed=reason)
        else:
            called = await self._called(claim, task)
        held = await self._notes.note(called)
        if not held:
            log.warning("run_overtaken", run=claim.run, fence=claim.fence, effect="nothing was changed")
            return False
        return bool(called.failed) or (called.report is not None and called.report.state not in LIVE)

    async def _called(self, claim: Claim, task: Task) -> Called:
        consumer = await self._instance(task.consumers, claim)
        began = time.monotonic()
        answer = await self._caller.call(consumer, claim, task)
        seconds = time.monotonic() - began
        if answer.told is not None:
            report = report_of(answer.told, consumer, claim.fence)
            return Called(claim, self.node, consumer, report.state, task.interval_seconds, seconds, report)
        tries = claim.tries + 1
        told = f"{tries} calls in a row failed; the last one: {answer.reason}"
        failed = told if tries >= task.most_tries else ""
        unreachable = f"{claim.task}: {told}" if tries >= self._unreachable_tries else ""
        wait = _delay(task, claim.tries)
        return Called(claim, self.node, consumer, answer.reason, wait, seconds, None, failed, unreachable)

    def _task(self, claim: Claim) -> Task | None:
        """The task of a run; None if it is not defined, or not in a way that this version understands."""
        known = self._tasks.get(claim.task)
        if known is None or known[0] != claim.definition:
            try:
                known = claim.definition, Task.model_validate(claim.definition)
            except ValidationError as error:
                log.warning("task_unusable", task=claim.task, reason=error.errors(include_url=False)[0]["msg"])
                return None
            self._tasks[claim.task] = known
        return known[1]

    async def _instance(self, consumers: Sequence[str], claim: Claim) -> str:
        """The instance that is called: the one that works on the run; otherwise the one with the fewest runs."""
        last = claim.consumer
        if last is not None and last in consumers and not claim.tries:
            return last
        if len(consumers) == 1:
            return consumers[0]
        async with self._pool.begin() as connection:
            await connection.execute(_ONE_AT_A_TIME)  # otherwise runs that begin together would choose the same one
            wanted = sa.select(RUN.c.consumer, sa.func.count()).where(RUN.c.active, RUN.c.consumer.in_(consumers))
            rows = await connection.execute(wanted.group_by(RUN.c.consumer))
            load: dict[str | None, int] = {each: count for each, count in rows}  # noqa: C416 - mypy does not take rows for pairs
            others = [each for each in consumers if each != last] or consumers
            chosen = min(others, key=lambda each: (load.get(each, 0), random.random()))  # noqa: S311 - between equals
            mine = sa.and_(RUN.c.id == claim.run, RUN.c.fence == claim.fence)
            await connection.execute(sa.update(RUN).where(mine).values(consumer=chosen))
        return chosen


def _delay(task: Task, tries: int) -> float:
    backoff = Backoff(task.retry_first_ms / 1000, task.retry_most_ms / 1000, tries)
    return backoff.wait_seconds(random.random())  # noqa: S311 - jitter
