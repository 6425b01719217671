"""One round of a run: its consumer is called, and what came of that is noted if the run is held still."""

import asyncio
import random
import time
from collections.abc import Sequence

import sqlalchemy as sa
import structlog
from pydantic import ValidationError

from snk.batch.channels import Kind
from snk.batch.definition import Task
from snk.batch.platform.alerts import Cause
from snk.batch.platform.calling import Answer, Caller
from snk.batch.platform.claims import Claim
from snk.batch.platform.noting import Called, Notes
from snk.batch.platform.reporting import FIRST, report_of
from snk.batch.platform.tables import RUN
from snk.batch.state import LIVE
from snk.core.backoff import Backoff
from snk.db.locks import lock_in_transaction
from snk.db.pool import Pool

MOST_CHOOSING = 3
"""So many calls at once choose an instance; each has a connection meanwhile, perhaps only to wait for another node."""
_RETRIES_MS: tuple[int, int] = (Task.model_fields["retry_first_ms"].default, Task.model_fields["retry_most_ms"].default)

log = structlog.get_logger()


class Rounds:
    """The rounds of one node.

    Attributes:
        node: its name.
        caller: calls consumers.
    """

    def __init__(self, node: str, pool: Pool, caller: Caller, unreachable_tries: int = 3) -> None:
        self.node = node
        self._pool = pool
        self.caller = caller
        self._unreachable_tries = unreachable_tries
        self._notes = Notes(pool)
        self._tasks: dict[str, tuple[object, Task]] = {}
        self._choosing = asyncio.Semaphore(MOST_CHOOSING)

    async def round(self, claim: Claim) -> bool:
        """Call the consumer of a run that is held; return whether the run has ended with that.

        Raises:
            SnkError: the database failed; the run is free again when its lease ends.
        """
        held = await self._notes.note(called := await self._called(claim))
        if not held:
            log.warning("run_overtaken", run=claim.run, fence=claim.fence, effect="nothing was changed")
            return False
        return bool(called.failed) or (called.report is not None and called.report.state not in LIVE)

    async def _called(self, claim: Claim) -> Called:
        if claim.definition is None:
            return Called(claim, self.node, "", "not called", 0.0, 0.0, failed="its task is not defined any more")
        task = self._task(claim)
        if task is None:  # a node of the version that wrote it will call its consumer
            reason = f"node {self.node} does not understand its definition, which is of a newer version"
            return self._failed(claim, None, claim.consumer or "", Answer(None, reason), 0.0)
        consumer = await self._instance(task.consumers, claim)
        began = time.monotonic()
        answer = await self.caller.call(consumer, claim, task)
        seconds = time.monotonic() - began
        if answer.told is None:
            return self._failed(claim, task, consumer, answer, seconds)
        report = report_of(answer.told, consumer, claim.fence)
        if report.fence < max(claim.since, FIRST):
            reason = f"its answer is of fence {report.fence}, before this run began"
            return self._failed(claim, task, consumer, Answer(None, reason), seconds)
        return Called(claim, self.node, consumer, report.state, task.interval_seconds, seconds, report)

    def _failed(self, claim: Claim, task: Task | None, consumer: str, answer: Answer, seconds: float) -> Called:
        """What is noted of a call that failed; of none, if the task is not understood."""
        tries = claim.tries + 1
        told = f"{tries} calls in a row failed; the last one: {answer.reason}"
        kind = Kind.UNREACHABLE if answer.absent else Kind.CALLS_FAILED
        trouble = Cause(kind, f"task {claim.task}", f"{claim.task}: {told}", claim.task, claim.run)
        return Called(
            claim,
            self.node,
            consumer,
            answer.reason,
            _delay(task, claim.tries),
            seconds,
            failed=told if task and tries >= task.most_tries else "",
            trouble=trouble if tries >= self._unreachable_tries else None,
            behind=answer.stale,
        )

    def _task(self, claim: Claim) -> Task | None:
        """The task of a run; None if this version does not understand its definition."""
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
        async with self._choosing, self._pool.begin() as connection:
            # One at a time, or runs that begin together would choose the same one.
            await lock_in_transaction(connection, f"snk batch instance {' '.join(sorted(consumers))}")
            wanted = sa.select(RUN.c.consumer, sa.func.count()).where(RUN.c.active, RUN.c.consumer.in_(consumers))
            rows = await connection.execute(wanted.group_by(RUN.c.consumer))
            load: dict[str | None, int] = {each: count for each, count in rows}  # noqa: C416 - mypy does not take rows for pairs
            others = [each for each in consumers if each != last] or consumers
            chosen = min(others, key=lambda each: (load.get(each, 0), random.random()))  # noqa: S311 - between equals
            mine = sa.and_(RUN.c.id == claim.run, RUN.c.fence == claim.fence)
            await connection.execute(sa.update(RUN).where(mine).values(consumer=chosen))
        return chosen


def _delay(task: Task | None, tries: int) -> float:
    first, most = (task.retry_first_ms, task.retry_most_ms) if task else _RETRIES_MS
    return Backoff(first / 1000, most / 1000, tries).wait_seconds(random.random())  # noqa: S311 - jitter
