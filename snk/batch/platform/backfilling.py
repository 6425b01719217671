"""Makes up for ticks of a calendar that never triggered: from before a task had it, or while no node was there.

Each tick gets a run of its own, whatever the task's overlap: they are queued, and run one after the other. The present
goes first: a run that is triggered meanwhile runs before those of a backfill that have not begun, and a backfill is no
run that a trigger is skipped for, joins or cancels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.calendar import Calendar
from snk.batch.definition import Group, Task
from snk.batch.platform.defining import target_of
from snk.batch.platform.moves import Unknown, note
from snk.batch.platform.tables import NOW, TASK, TRIGGER
from snk.batch.platform.ticking import key_of_tick, payload_of_tick
from snk.batch.platform.triggering import Trigger, start_all
from snk.errors import Stop

MOST = 10_000
YEARS = range(1970, 3000)
"""What a range may lie in: far from the ends of what a clock can show, in any zone."""


MOMENTS = "2026-11-25, 2026-11-25T02:00 or 2026-11-25T02:00:00Z"
"""How the ends of a range are written."""


class NoBackfill(Stop):
    """There is nothing that could be made up for."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """The ticks of a range.

    Attributes:
        name: of the task or group.
        cron: its calendar.
        zone: the time zone of that.
        ticks: those that never triggered, oldest first, in UTC.
        existing: how many did.
        runs: of these ticks, once they are triggered.
    """

    name: str
    cron: str
    zone: str
    ticks: Sequence[datetime]
    existing: int
    runs: Sequence[int] = field(default=())

    @property
    def as_json(self) -> dict[str, Any]:
        """The backfill, as the command and the API show it."""
        ticks = [at.isoformat() for at in self.ticks]
        return {"name": self.name, "ticks": ticks, "existing": self.existing, "runs": list(self.runs)}


def ticks_between(calendar: Calendar, start: datetime, end: datetime) -> list[datetime]:
    """The ticks from a moment on, and before another one. Pure.

    Args:
        calendar: whose.
        start: the first moment; without a zone, in that of the calendar.
        end: the first moment that does not count; as `start`.

    Raises:
        NoBackfill: the range is empty, has too many ticks, or lies in years that no calendar is for.
    """
    for each in (start, end):
        if each.year not in YEARS:
            hint = f"Give moments of the years {YEARS[0]} to {YEARS[-1]}"
            raise NoBackfill(f"the range has an end at {each.isoformat()}", hint=hint)
    start, end = (each if each.tzinfo else each.replace(tzinfo=ZoneInfo(calendar.zone)) for each in (start, end))
    if start >= end:
        raise NoBackfill(f"the range begins at {start.isoformat()}, and ends at {end.isoformat()}; it has to end later")
    found = calendar.within(start, end, MOST + 1)
    if len(found) > MOST:
        hint = f"Divide it: the first {MOST:,} are before {found[MOST].isoformat()}"
        raise NoBackfill(f"the range has more than {MOST:,} ticks", hint=hint)
    return found


async def preview(connection: AsyncConnection, name: str, start: datetime, end: datetime) -> Backfill:
    """What `backfill` would trigger; the same arguments and errors."""
    return (await _look(connection, name, start, end, lock=False))[0]


async def backfill(connection: AsyncConnection, name: str, start: datetime, end: datetime, who: str) -> Backfill:
    """Trigger all ticks of a range that never did; to be called in a transaction.

    Args:
        connection: with a transaction.
        name: of a task or group.
        start: the first moment; without a zone, in that of its calendar.
        end: the first moment that does not count; as `start`.
        who: for the audit.

    Raises:
        Unknown: there is no such task or group.
        NoBackfill: it has no calendar, or the range is empty, too large, or not over.
        NotUnderstood: its definition is of a newer version.
    """
    found, target = await _look(connection, name, start, end, lock=True)
    if not found.ticks:
        return found
    triggers = [
        Trigger(name, key_of_tick(at), "backfill", who, payload_of_tick(at), backfill=True) for at in found.ticks
    ]
    runs = await start_all(connection, triggers, target)
    told = f"{len(runs)} ticks from {found.ticks[0].isoformat()} to {found.ticks[-1].isoformat()}"
    await note(connection, who, "backfilled", name, told)
    return replace(found, runs=runs)


async def _look(
    connection: AsyncConnection, name: str, start: datetime, end: datetime, *, lock: bool
) -> tuple[Backfill, Task | Group]:
    wanted = sa.select(TASK, NOW.label("now")).where(TASK.c.name == name)
    row = (await connection.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
    if row is None:
        raise Unknown(f"there is no task or group {name!r}")
    target = target_of(name, row.kind, row.definition)
    calendar = target.calendar
    if calendar is None:
        hint = "Give it a cron line, or trigger it by hand: `snk batch trigger`"
        raise NoBackfill(f"{name!r} has no calendar, so no tick was missed", hint=hint)
    ticks = ticks_between(calendar, start, end)
    if ticks and ticks[-1] > row.now:
        hint = (
            f"End the range at {row.now.isoformat(timespec='seconds')} or before; its calendar triggers what is later"
        )
        raise NoBackfill(f"the range is not over: it has a tick at {ticks[-1].isoformat()}", hint=hint)
    known = sa.select(TRIGGER.c.key).where(TRIGGER.c.target == name, TRIGGER.c.key.in_(map(key_of_tick, ticks)))
    existing = set((await connection.execute(known)).scalars())
    missing = [at for at in ticks if key_of_tick(at) not in existing]
    return Backfill(name, target.cron, target.zone, missing, len(existing)), target
