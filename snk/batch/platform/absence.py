"""Finds that no node was there. A platform that is dead cannot tell; so a command that is run now and then does, and
the next node that starts.
"""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.channels import Kind
from snk.batch.platform import alerts, turns
from snk.batch.platform.claims import paused
from snk.batch.platform.nodes import ALIVE, FRESH_SECONDS, say
from snk.batch.platform.tables import NODE, NOW, PRESENT, RUN, TASK
from snk.db.functions import interval
from snk.db.locks import lock_in_transaction

LEASES = 3
KEEP_SECONDS = 86_400.0
"""How long the rows of nodes that are dead are kept."""
_DEAD = "no node of the platform is alive; start one with `snk batch platform`"


async def arrive(connection: AsyncConnection, name: str, address: str, lease_seconds: float) -> None:
    """Note that a node has started; to be called in a transaction.

    If none was there for longer than three leases, and something was due meanwhile, an alert says from when to when.
    It is resolved at once, because there is a node now.

    Args:
        connection: with a transaction.
        name: of the node.
        address: where it is reached.
        lease_seconds: of its leases.
    """
    await lock_in_transaction(connection, "snk batch node")  # or several nodes that start together would each find that
    most = max(LEASES * lease_seconds, FRESH_SECONDS)
    last = sa.func.max(NODE.c.seen_at)
    due = sa.or_(_runs_due(), sa.exists().where(TASK.c.next_tick <= PRESENT))
    wanted = sa.select(last.label("last"), NOW.label("now")).having(last < NOW - interval(most), due)
    if gap := (await connection.execute(wanted)).one_or_none():
        since, until = (each.isoformat(sep=" ", timespec="seconds") for each in (gap.last, gap.now))
        text = f"no node of the platform was there from {since} to {until}, while work was due"
        await alerts.found(connection, alerts.Cause(Kind.NO_NODE, alerts.PLATFORM, text))
    await connection.execute(sa.delete(NODE).where(NODE.c.seen_at < NOW - interval(KEEP_SECONDS)))
    await say(connection, name, address, new=True)


async def check(connection: AsyncConnection) -> int:
    """How many nodes are alive; if none is, an alert is raised. To be called in a transaction."""
    alive = (await connection.execute(sa.select(sa.func.count()).select_from(NODE).where(ALIVE))).scalar_one()
    if not alive:
        await alerts.found(connection, alerts.Cause(Kind.NO_NODE, alerts.PLATFORM, _DEAD))
    return alive


def _runs_due() -> sa.ColumnElement[bool]:
    """Whether any run that is not paused is due to be called or to begin."""
    called = sa.exists().where(RUN.c.active, RUN.c.due_at <= PRESENT, sa.not_(paused()))
    in_turn = turns.waiting_for_a_look()
    return sa.or_(called, sa.exists().where(RUN.c.id == in_turn.c.id, sa.not_(paused())))
