"""Hears what others send by NOTIFY on channels of one database.

SQLAlchemy has no words for this, so it is asked of the driver: here, and nowhere else.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.server import Server
from snk.errors import Unavailable

Heard = Callable[[str, str], None]
"""Takes a channel and what was sent on it."""
LOOK_SECONDS = 10.0
"""How often the server is asked for a sign of life: a connection that died silently brings nothing any more."""


async def hear(server: Server, channels: Sequence[str], heard: Heard, ready: Callable[[], object]) -> None:
    """Hear channels of a database until the connection is lost.

    What is sent while nobody hears it is lost, as PostgreSQL does not keep it.

    Args:
        server: where it is.
        channels: their names.
        heard: takes what is sent; it must not raise.
        ready: called once all that is sent from now on is heard.

    Raises:
        SnkError: the connection was lost, or could not be made.
    """
    async with server.connect() as connection:
        lost = await _listen(connection, channels, heard)
        ready()
        while not await _within(LOOK_SECONDS, lost):
            async with server.answering(connection):
                await connection.execute(sa.select(1))
        raise Unavailable(f"{server.address}: the connection was lost")


async def _listen(connection: AsyncConnection, channels: Sequence[str], heard: Heard) -> asyncio.Event:
    """Hear channels on a connection; returns an event that is set when it ends."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    lost = asyncio.Event()
    driver.add_termination_listener(lambda _: lost.set())
    for channel in channels:
        await driver.add_listener(channel, lambda _, __, channel, payload: heard(channel, payload))
    return lost


async def _within(seconds: float, event: asyncio.Event) -> bool:
    """Whether an event happens within some time."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
