"""Turns the ticks of calendars into triggers.

Where each calendar stands is a column of its task, so no tick is missed or comes twice, however many nodes look and
however long none did: the key of a trigger is the tick itself.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import structlog

from snk.batch.calendar import Calendar
from snk.batch.definition import Triggered
from snk.batch.platform.defining import NotUnderstood, target_of
from snk.batch.platform.tables import NOW, PRESENT, TASK
from snk.batch.platform.triggering import CALENDAR, Trigger, trigger_all
from snk.db.pool import Pool

PORTION = 200

log = structlog.get_logger()


def key_of_tick(at: datetime) -> str:
    """The key of the trigger that a tick is."""
    return f"{CALENDAR} {at.isoformat()}"


def payload_of_tick(at: datetime) -> Mapping[str, Any]:
    """What a consumer is told of a tick."""
    return {"tick": at.isoformat()}


class Ticking:
    """Starts what is due by its calendar, for one node."""

    def __init__(self, pool: Pool, node: str) -> None:
        self._pool = pool
        self._node = node
        self._unusable: set[tuple[str, datetime]] = set()  # with when they were defined so

    async def tick(self, after: Callable[[], Awaitable[None]] | None = None) -> int:
        """Start what is due and no other node sees to; return how many runs were asked for.

        Args:
            after: called whenever some were, so that the first ones need not wait for the last ones.
        """
        started = 0
        seen = PORTION
        while seen == PORTION:
            seen, asked = await self._portion()
            started += asked
            if asked and after:
                await after()
        return started

    async def _portion(self) -> tuple[int, int]:
        """Start a part of it; return how many calendars and ticks that were."""
        columns = (TASK.c.name, TASK.c.kind, TASK.c.definition, TASK.c.next_tick, TASK.c.changed_at, NOW.label("now"))
        due = sa.select(*columns).where(TASK.c.next_tick <= PRESENT)
        if self._unusable:
            due = due.where(sa.tuple_(TASK.c.name, TASK.c.changed_at).not_in(self._unusable))
        due = due.order_by(TASK.c.next_tick, TASK.c.name).limit(PORTION).with_for_update(skip_locked=True)
        async with self._pool.begin() as connection:
            rows = (await connection.execute(due)).all()
            triggers: list[Trigger] = []
            following: list[dict[str, object]] = []
            for row in rows:
                if target := self._target(row):
                    calendar = target.calendar
                    ticks = calendar.newest(row.next_tick, row.now, target.catch_up) if calendar else []
                    triggers += [self._trigger(row.name, at) for at in ticks]
                    following.append({"of": row.name, "at": _following(calendar, row.now)})
            if following:
                await trigger_all(connection, triggers)
                await connection.execute(_FOLLOWING, following)
        return len(rows), len(triggers)

    def _trigger(self, name: str, at: datetime) -> Trigger:
        return Trigger(name, key_of_tick(at), CALENDAR, self._node, payload_of_tick(at))

    def _target(self, row: Any) -> Triggered | None:
        """A task or group; None if its definition is not one that this version understands."""
        try:
            return target_of(row.name, row.kind, row.definition)
        except NotUnderstood as error:
            self._unusable.add((row.name, row.changed_at))
            effect = "it is left to nodes that know it"
            log.warning("calendar_unusable", task=row.name, reason=str(error), effect=effect)
            return None


def _following(calendar: Calendar | None, now: datetime) -> datetime | None:
    return next(calendar.after(now), None) if calendar else None


_FOLLOWING = (
    sa.update(TASK)
    .where(TASK.c.name == sa.bindparam("of"))
    .values(next_tick=sa.bindparam("at", type_=sa.DateTime(timezone=True)))
)
