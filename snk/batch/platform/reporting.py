"""Takes what a consumer reports of a run: in the answer to a call, or by a callback of its own.

A report says which fence it answers to. One from before the run was run again is void, however late it comes; one that
comes twice changes nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.judging import FileReport, Report, verdict
from snk.batch.platform.moves import Held, Move, Unknown, hold, move
from snk.batch.platform.tables import FILE, NOW
from snk.batch.state import LIVE, Event, State
from snk.batch.wire import Told

Outcome = Literal["taken", "void", "again", "ahead"]
FIRST = 1
"""The fence of the first call of a run."""
_EVENTS = {
    State.RUNNING: Event.CALLED,
    State.COMPLETED: Event.COMPLETED,
    State.FAILED: Event.FAILED,
    State.RECON_FAILED: Event.RECON_FAILED,
}


def report_of(told: Told, who: str, most_fence: int | None = None) -> Report:
    """What a consumer said, as a report.

    Args:
        told: its words.
        who: the consumer.
        most_fence: of the call that they answer, if they do: what answers it cannot be of a later one.
    """
    files = {name: FileReport(**dict(each)) for name, each in told.files.items()}
    fence = told.fence if most_fence is None else min(told.fence, most_fence)
    return Report(fence, told.state, who, told.reason, files)


async def take(connection: AsyncConnection, run: int, report: Report) -> Outcome:
    """Note a report, in a transaction.

    Returns:
        ``taken``; ``void`` if it is of a call before the run was run again, or of none; ``again`` if the run has ended
        as it says; ``ahead`` if it names a call that nobody has made yet, so that it is forged or confused.

    Raises:
        Unknown: there is no such run.
    """
    held = await hold(connection, run)
    if held is None:
        raise Unknown(f"there is no run {run}")
    return await take_held(connection, held, report)


async def take_held(connection: AsyncConnection, held: Held, report: Report) -> Outcome:
    """The same, of a run that is held."""
    judged = judge(held, report)
    await write_files(connection, judged.files)
    if judged.move:
        await move(connection, held, judged.move)
    return judged.outcome


@dataclass(frozen=True, slots=True)
class Judged:
    """What a report changes.

    Attributes:
        move: of the run.
        files: rows of the files that it tells of.
    """

    outcome: Outcome
    move: Move | None = None
    files: list[dict[str, object]] = field(default_factory=list)


def judge(held: Held, report: Report) -> Judged:
    """What a report changes; nothing is changed yet."""
    if report.fence > held.fence:
        return Judged("ahead")
    if report.fence < max(held.since, FIRST):
        return Judged("void")
    report = verdict(report, held.wanted)
    if held.state not in LIVE:
        return Judged("again" if held.state == report.state else "void")
    files = [{"run": held.id, "name": name, **asdict(each)} for name, each in report.files.items()]
    event = _EVENTS.get(report.state)
    return Judged("taken", Move(event, report.who, report.reason) if event else None, files)


async def write_files(connection: AsyncConnection, rows: Sequence[dict[str, object]]) -> None:
    """Write what is known of files, of which some may be known already."""
    if rows:
        await connection.execute(_FILES, list(rows))


def _upsert() -> sa.Insert:
    insert = pg.insert(FILE).values(reported_at=NOW)
    key = (FILE.c.run, FILE.c.name)
    told = {each.name: insert.excluded[each.name] for each in FILE.c if each not in set(key)}
    return insert.on_conflict_do_update(index_elements=key, set_=told)


_FILES = _upsert()
