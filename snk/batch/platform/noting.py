"""Notes what came of calls: as many as have ended, in one transaction, as each commit waits for the disk.

A call is noted only if its run is held still by the fence under which it was called. One that is not changes nothing.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform import alerts, stops
from snk.batch.platform.claims import Claim
from snk.batch.platform.judging import Report
from snk.batch.platform.moves import Held, Move, audit, failures, hold_all
from snk.batch.platform.reporting import judge, write_files
from snk.batch.platform.tables import ATTEMPT, NOW, RUN
from snk.batch.state import LIVE, Event, State, following
from snk.db.functions import interval
from snk.db.pool import Pool

MOST_AT_ONCE = 200
LEAP = 1_000_000
"""By so much a fence grows that a consumer refuses as too low: more than a run is called between two backups."""


@dataclass(frozen=True, slots=True)
class Called:
    """What came of a call.

    Attributes:
        outcome: for people.
        again_seconds: until the next call.
        seconds: how long it took.
        report: what the consumer says; None if it did not take the call.
        failed: why this ends the run; empty if it goes on.
        trouble: why an alert is raised, as several calls in a row failed; None if that is not so, or not yet.
        behind: whether the consumer has seen a later fence, though this one is held: the database is a restored one.
    """

    claim: Claim
    node: str
    consumer: str
    outcome: str
    again_seconds: float
    seconds: float
    report: Report | None = None
    failed: str = ""
    trouble: alerts.Cause | None = None
    behind: bool = False


class Notes:
    """What one node has to note."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: list[tuple[Called, asyncio.Future[bool]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def note(self, called: Called) -> bool:
        """Note a call; return whether its run was held still.

        Raises:
            Exception: it cannot be noted, such as when the database failed; the run is free again when its lease ends.
        """
        noted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((called, noted))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return await noted

    async def _write(self) -> None:
        while self._waiting:
            portion, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            if not await self._written(portion):
                for each in portion:  # one that the database refuses keeps no other one back
                    await self._written([each], last=True)

    async def _written(self, portion: Sequence[tuple[Called, asyncio.Future[bool]]], *, last: bool = False) -> bool:
        try:
            async with self._pool.begin() as connection:
                held = await note_calls(connection, [called for called, _ in portion])
        except Exception as error:  # noqa: BLE001 - waiters must receive it, or leases are renewed for ever
            if last or len(portion) == 1:
                _settle(portion, error)
            return last or len(portion) == 1
        _settle(portion, held)
        return True


def _settle(portion: Sequence[tuple[Called, asyncio.Future[bool]]], found: Sequence[bool] | Exception) -> None:
    for at, (_, noted) in enumerate(portion):
        if noted.done():  # nobody waits any longer
            continue
        if isinstance(found, Exception):
            noted.set_exception(found)
        else:
            noted.set_result(found[at])


async def note_calls(connection: AsyncConnection, called: Sequence[Called]) -> list[bool]:
    """Note calls, and when the next ones are due, in a transaction; return of each whether its run was held still."""
    held = await hold_all(connection, {each.claim.run for each in called})
    still = [_holds(held.get(each.claim.run), each) for each in called]
    noted = list(compress(called, still))
    late = [each for each, mine in zip(called, still, strict=True) if not mine and _may_work_on(held, each)]
    await stops.hasten(connection, {each.claim.run: each.consumer for each in late})
    if not noted:
        return still
    effects = [_effect(held[each.claim.run], each) for each in noted]
    await connection.execute(_UPDATE, [each.row for each in effects])
    await connection.execute(_ATTEMPTS, [_attempt(each) for each in noted])
    await stops.owe(connection, [each.claim.run for each in noted if each.failed])
    await write_files(connection, [row for each in effects for row in each.files])
    await audit(connection, [each.line for each in effects if each.line])
    await alerts.found_all(connection, [cause for each in effects for cause in each.causes])
    return still


def _holds(held: Held | None, called: Called) -> bool:
    return held is not None and held.fence == called.claim.fence and held.node == called.node


def _may_work_on(held: Mapping[int, Held], called: Called) -> bool:
    """Whether a consumer was called for a run that has ended meanwhile, and may have begun it with this call."""
    run = held.get(called.claim.run)
    over = called.report is not None and called.report.state not in LIVE
    return run is not None and run.state not in LIVE and not over


@dataclass(frozen=True, slots=True)
class _Effect:
    """What a call changes."""

    row: dict[str, object]
    files: list[dict[str, object]]
    line: dict[str, object] | None
    causes: list[alerts.Cause]


def _effect(held: Held, called: Called) -> _Effect:
    judged = judge(held, called.report) if called.report else None
    done = judged.move if judged else None
    if called.failed and held.state in LIVE:
        done = Move(Event.FAILED, called.node, called.failed)
    state = following(held.state, done.event) if done else held.state
    row = {
        "of_run": held.id,
        "again_seconds": called.again_seconds,
        "worked": called.report is not None,
        "leap": LEAP if called.behind else 0,
        "to_consumer": called.consumer,
        "to_state": state,
        "because": done.reason if done else None,
        "goes_on": state in LIVE,
        "begins": held.state == State.WAITING and state != State.WAITING,
    }
    line = done.line(held) if done and state != held.state else None
    causes = failures(held, state, done.reason) if done else []
    if called.trouble:
        causes.append(called.trouble)
    return _Effect(row, judged.files if judged else [], line, causes)


def _attempt(called: Called) -> dict[str, object]:
    claim = called.claim
    of_run = {"run": claim.run, "fence": claim.fence, "node": called.node, "consumer": called.consumer}
    return {**of_run, "outcome": called.outcome, "seconds": called.seconds}


_WORKED = sa.bindparam("worked", type_=sa.Boolean)
_GOES_ON = sa.bindparam("goes_on", type_=sa.Boolean)
_CALLED_AGAIN = sa.and_(RUN.c.active, _GOES_ON)
_UPDATE = (
    sa.update(RUN)
    .where(RUN.c.id == sa.bindparam("of_run"))
    .values(
        node=None,
        lease_until=None,
        fence=RUN.c.fence + sa.bindparam("leap", type_=sa.BigInteger),
        calls=RUN.c.calls + 1,
        tries=sa.case((_WORKED, 0), else_=RUN.c.tries + 1),
        worked_at=sa.case((_WORKED, NOW), else_=RUN.c.worked_at),
        consumer=sa.bindparam("to_consumer"),
        state=sa.bindparam("to_state"),
        reason=sa.func.coalesce(sa.bindparam("because", type_=sa.Text), RUN.c.reason),
        active=_CALLED_AGAIN,
        due_at=sa.case((_CALLED_AGAIN, NOW + interval(sa.bindparam("again_seconds", type_=sa.Float)))),
        started_at=sa.case((sa.bindparam("begins", type_=sa.Boolean), NOW), else_=RUN.c.started_at),
        ended_at=sa.case((_GOES_ON, RUN.c.ended_at), else_=NOW),
    )
)
_ATTEMPTS = sa.insert(ATTEMPT).values(began_at=NOW - interval(sa.bindparam("seconds", type_=sa.Float)))
