"""Works on one file to its end: precondition, execute, reconcile, and what is tried again."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import sqlalchemy as sa
import structlog

from snk.batch.consumer.executor import Executor, Reconciled, executor
from snk.batch.consumer.failing import Again, FileFailed, Later
from snk.batch.consumer.holding import Hold, Overtaken, lock
from snk.batch.consumer.reporting import settle
from snk.batch.consumer.tables import FILE
from snk.batch.consumer.work import Progress, Work, cleaned, forget_records
from snk.batch.state import LIVE, State
from snk.batch.wire import COUNTS, MOST_DIGEST
from snk.core.backoff import Backoff
from snk.db.pool import Pool
from snk.errors import RowRefused, SnkError, Wait

EXECUTE, RECONCILE = "execute", "reconcile"
Turn = Callable[[], AbstractAsyncContextManager[None]]
"""What is held while a file is worked on, and not while it waits for a further try."""
FIRST_SECONDS, MOST_SECONDS = 0.5, 30.0

log = structlog.get_logger()


class FileWork:
    """Work on one file.

    Args:
        pool: connections to the consumer's database.
        hold: on the run.
        work: the file.
        ended: where files are counted that ended, by state.
        turn: what is held while the file is worked on.
    """

    def __init__(self, pool: Pool, hold: Hold, work: Work, ended: Counter[str], turn: Turn) -> None:
        self._pool = pool
        self._hold = hold
        self._work = work
        self._ended = ended
        self._turn = turn
        self._executor: Executor | None = None

    async def run(self) -> bool:
        """Work until it has ended, or cannot begin yet; whether it has ended.

        Raises:
            Overtaken: others work on it, or it has ended.
        """
        backoff, before = Backoff(FIRST_SECONDS, MOST_SECONDS), Progress()
        while True:
            try:
                async with self._turn():
                    return await self._go_on()
            except Overtaken:
                raise
            except Wait as error:
                if self._work.progress != before:
                    backoff, before = Backoff(FIRST_SECONDS, MOST_SECONDS), self._work.progress
                await self._wait(error, backoff)
                backoff = backoff.failed()
            except SnkError as error:
                words = str(error) if isinstance(error, FileFailed) else str(error.args[0])
                if await self._end(State.FAILED, words):
                    return True
            except Exception as error:
                log.exception("executor_failed", **self._names)
                if await self._end(State.FAILED, f"the executor failed: {type(error).__name__}: {error}"):
                    return True

    @property
    def _names(self) -> dict[str, object]:
        return {"run": self._hold.number, "task": self._work.task, "file": self._work.name}

    async def _go_on(self) -> bool:
        """From where the file stands to its end; whether it could begin."""
        step = await self._step()
        if self._executor is None:
            self._executor = executor(self._work.file.executor)
        if step == EXECUTE:
            if reason := await self._executor.precondition(self._work):
                await self._note(state=State.WAITING, reason=reason)
                return False
            await self._note(state=State.RUNNING)
            await self._executor.execute(self._work)
            await self._note(step=RECONCILE, reason="")
        try:
            found = await self._executor.reconcile(self._work)
        except Again as error:
            await self._begin_again(str(error))
            raise
        await self._finish(State.COMPLETED if found.equal else State.RECON_FAILED, found)
        return True

    async def _step(self) -> str:
        async with self._work.step() as step:
            asked = sa.select(FILE.c.step).where(FILE.c.id == self._work.id)
            return str((await step.connection.execute(asked)).scalar_one())

    async def _note(self, **changes: object) -> None:
        async with self._work.step() as step:
            await step.note(**changes)

    async def _begin_again(self, reason: str) -> None:
        log.info("records_changed", **self._names, reason=reason, effect="they are loaded once more")
        async with self._work.step() as step:
            await forget_records(step.connection, [self._work.id])
            rounds = self._work.progress.rounds + 1
            await step.note(step=EXECUTE, mark={}, rounds=rounds, reason=reason, **dict.fromkeys(COUNTS))

    async def _wait(self, error: Wait, backoff: Backoff) -> None:
        """Wait before a further try; why is told in the meantime, if the database can be reached."""
        seconds = backoff.wait_seconds(random.random())  # noqa: S311 - jitter
        if isinstance(error, Later):
            seconds = max(seconds, error.seconds)
        words = str(error.args[0])
        if not backoff.tries:
            log.warning("file_waits", **self._names, reason=words, effect="it is tried again")
        try:
            await self._note(reason=f"{words}; it is tried again")
        except Overtaken:
            raise
        except SnkError:
            log.debug("reason_not_noted", **self._names)
        await asyncio.sleep(seconds)

    async def _end(self, state: State, reason: str) -> bool:
        """Note that the file failed; whether that could be noted. Of words that the database refuses, ASCII is left."""
        for words in (reason, cleaned(reason).encode("ascii", "backslashreplace").decode()):
            try:
                await self._finish(state, Reconciled(equal=False, reason=words))
            except RowRefused:
                continue
            except Wait:
                await asyncio.sleep(FIRST_SECONDS)
                return False
            return True
        raise RowRefused(f"the end of file {self._work.name} cannot be noted")

    async def _finish(self, state: State, found: Reconciled) -> None:
        digest = found.digest and cleaned(found.digest)[:MOST_DIGEST]
        values = {"state": state, "reason": cleaned(found.reason), "digest": digest}
        mine = sa.and_(FILE.c.id == self._work.id, FILE.c.state.in_(sorted(LIVE)))
        async with self._pool.begin() as connection:
            await lock(connection, self._hold)
            if not (await connection.execute(sa.update(FILE).where(mine).values(values))).rowcount:
                raise Overtaken(f"file {self._work.name} of run {self._hold.number} has ended")
            told = await settle(connection, self._hold.run)
        self._ended[state] += 1
        log.info("file_ended", **self._names, state=str(state), reason=found.reason, run_state=str(told.state))
        await self._forget()

    async def _forget(self) -> None:
        """Forget what was loaded: after the end is committed, so that nobody waits for it."""
        try:
            async with self._pool.connection("statement") as connection:
                await forget_records(connection, [self._work.id], rejected=False)
        except SnkError as error:
            log.info("records_not_forgotten", **self._names, reason=str(error), effect="upkeep forgets them")
