"""Takes what a consumer reports of a run: in the answer to a call, or by a callback of its own.

A report says which fence it answers to. One from before the run was run again is void, however late it comes; one that
comes twice changes nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.moves import Held, Move, Unknown, hold, move
from snk.batch.platform.tables import FILE, NOW
from snk.batch.state import LIVE, Event, State

Outcome = Literal["taken", "void", "again"]
_EVENTS = {
    State.RUNNING: Event.CALLED,
    State.COMPLETED: Event.COMPLETED,
    State.FAILED: Event.FAILED,
    State.RECON_FAILED: Event.RECON_FAILED,
}


@dataclass(frozen=True, slots=True)
class FileReport:
    """What a consumer says of one file.

    Attributes:
        expected: records that the provider has.
        received: records that came.
        applied: records that were merged.
        rejected: records that are not valid.
        digest: of the provider's records, if the consumer's are the same.
        reason: why it failed.
    """

    state: State
    expected: int | None = None
    received: int | None = None
    applied: int | None = None
    rejected: int | None = None
    digest: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a consumer says of a run.

    Attributes:
        fence: that of the call that it answers to.
        state: of the whole run.
        who: the consumer.
    """

    fence: int
    state: State
    who: str
    reason: str = ""
    files: Mapping[str, FileReport] = field(default_factory=dict)


async def take(connection: AsyncConnection, run: int, report: Report) -> Outcome:
    """Note a report, in a transaction.

    Returns:
        ``taken``; ``void`` if it is of a call before the run was run again, or of no call at all; ``again`` if the run
        has ended as it says.

    Raises:
        Unknown: there is no such run.
    """
    held = await hold(connection, run)
    if held is None:
        raise Unknown(f"there is no run {run}")
    return await take_held(connection, held, report)


async def take_held(connection: AsyncConnection, held: Held, report: Report) -> Outcome:
    """The same, of a run that is held."""
    if not held.since <= report.fence <= held.fence:
        return "void"
    if held.state not in LIVE:
        return "again" if held.state == report.state else "void"
    for name, each in report.files.items():
        values = asdict(each) | {"reported_at": NOW}
        insert = pg.insert(FILE).values(run=held.id, name=name, **values)
        await connection.execute(insert.on_conflict_do_update(index_elements=[FILE.c.run, FILE.c.name], set_=values))
    if report.state in _EVENTS:
        await move(connection, held, Move(_EVENTS[report.state], report.who, report.reason))
    return "taken"
