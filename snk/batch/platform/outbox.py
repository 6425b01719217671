"""What is to be sent of alerts: taken by one node at a time, and sent at least once.

Who takes a notice puts off when it is due; if that node dies, the notice is due again by itself, under the same uid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.message import Message
from snk.batch.platform.tables import ALERT, CHANNEL, IS_UNSENT, NOTICE, NOW, PRESENT
from snk.db.functions import interval

LEASE_SECONDS = 120.0
"""Longer than any channel takes to send."""
GIVE_UP_SECONDS = 86_400.0
FORGET_SECONDS = 3600.0
"""A channel that is in the settings of no node for so long is told of no more alerts."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A notice that this node sends.

    Attributes:
        id: its number.
        tries: which try this is.
    """

    id: int
    tries: int
    message: Message


async def announce(connection: AsyncConnection, channels: Mapping[str, Sequence[str]]) -> None:
    """Note which channels a node has, by their names with their kinds, and forget those that no node has.

    Args:
        connection: with a transaction.
        channels: the kinds of each; none for all.
    """
    for name, kinds in sorted(channels.items()):  # in order, so that no two nodes wait for each other
        values = {"kinds": list(kinds) or None, "seen_at": NOW}
        insert = pg.insert(CHANNEL).values(name=name, **values)
        await connection.execute(insert.on_conflict_do_update(index_elements=[CHANNEL.c.name], set_=values))
    forgotten = CHANNEL.c.seen_at < NOW - interval(FORGET_SECONDS)
    old = sa.select(CHANNEL.c.name).where(forgotten).order_by(CHANNEL.c.name).with_for_update(skip_locked=True)
    await connection.execute(sa.delete(CHANNEL).where(CHANNEL.c.name.in_(old)))
    unknown = sa.not_(sa.exists().where(CHANNEL.c.name == NOTICE.c.channel))
    lost = sa.select(NOTICE.c.id).where(IS_UNSENT, unknown, _expired()).with_for_update(skip_locked=True)
    given_up = {"gave_up_at": NOW, "error": "it is in the settings of no node"}
    await connection.execute(sa.update(NOTICE).where(NOTICE.c.id.in_(lost)).values(given_up))


async def take(connection: AsyncConnection, channel: str, most: int) -> list[Taken]:
    """Take what is due to be sent to a channel, the oldest first. What was raised is told before that it is resolved.

    Args:
        connection: with autocommit.
        channel: its name.
        most: how many.
    """
    first = NOTICE.alias("first")
    waits = sa.exists().where(
        first.c.alert == NOTICE.c.alert,
        first.c.channel == NOTICE.c.channel,
        first.c.id < NOTICE.c.id,
        first.c.sent_at.is_(None),
        first.c.gave_up_at.is_(None),
    )
    due = sa.select(NOTICE.c.id).where(
        IS_UNSENT, NOTICE.c.due_at <= PRESENT, NOTICE.c.channel == channel, sa.not_(waits)
    )
    chosen = due.order_by(NOTICE.c.id).limit(most).with_for_update(skip_locked=True).cte("chosen")
    taken = (
        sa.update(NOTICE)
        .where(NOTICE.c.id == chosen.c.id, ALERT.c.id == NOTICE.c.alert)
        .values(due_at=NOW + interval(LEASE_SECONDS), tries=NOTICE.c.tries + 1)
        .returning(NOTICE, ALERT.c.kind, ALERT.c.subject, ALERT.c.task, ALERT.c.run, _text().label("text"))
    )
    rows = (await connection.execute(taken)).all()
    return sorted((_taken(row) for row in rows), key=lambda each: each.id)


async def sent(connection: AsyncConnection, taken: Taken, remark: str) -> None:
    """Note that a notice was sent, and what is to be said of that."""
    await connection.execute(_mine(taken).values(sent_at=NOW, error=remark))


async def failed(connection: AsyncConnection, taken: Taken, error: str, again_seconds: float) -> None:
    """Note that a notice was not sent, and when it is tried again; after a day it is not."""
    values = {"error": error, "due_at": NOW + interval(again_seconds), "gave_up_at": sa.case((_expired(), NOW))}
    await connection.execute(_mine(taken).values(values))


def _mine(taken: Taken) -> sa.Update:
    """Of a notice that no other node has taken since."""
    return sa.update(NOTICE).where(NOTICE.c.id == taken.id, NOTICE.c.tries == taken.tries, IS_UNSENT)


def _expired() -> sa.ColumnElement[bool]:
    return NOTICE.c.created_at <= NOW - interval(GIVE_UP_SECONDS)


def _text() -> sa.ColumnElement[str]:
    return sa.case((NOTICE.c.event == "resolved", ALERT.c.resolution), else_=ALERT.c.text)


def _taken(row: sa.Row[tuple[object, ...]]) -> Taken:
    given = row._mapping  # noqa: SLF001 - SQLAlchemy's name for what is public
    names = ("uid", "alert", "kind", "event", "subject", "task", "run", "text")
    return Taken(given["id"], given["tries"], Message(**{name: given[name] for name in names}, at=given["created_at"]))
