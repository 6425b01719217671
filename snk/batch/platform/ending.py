"""Ends runs; the run of a group takes those of its tasks with it."""

from collections.abc import Set as AbstractSet

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.moves import Held, Move, hold, move
from snk.batch.platform.tables import RUN
from snk.batch.state import State


async def end(connection: AsyncConnection, held: Held, done: Move, states: AbstractSet[State]) -> State:
    """End a run that is held, and the runs of its tasks that are in one of these states; return its new state.

    To be called in a transaction. The run of a group is held before those of its tasks, as by all who hold several.

    Raises:
        Refused: that cannot happen in its state.
    """
    state = await move(connection, held, done)
    if held.mode is not None:
        for child in await children(connection, held.id, states):
            await move(connection, child, done)
    return state


async def children(connection: AsyncConnection, run: int, states: AbstractSet[State]) -> list[Held]:
    """The runs of a group's tasks that are in one of these states, each of them held."""
    wanted = sa.select(RUN.c.id).where(RUN.c.parent == run).order_by(RUN.c.id)
    each = [await hold(connection, child) for child in (await connection.execute(wanted)).scalars().all()]
    return [held for held in each if held and held.state in states]
