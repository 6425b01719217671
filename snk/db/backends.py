"""The state of the server's backend for one of SNK's connections.

The query is plain SQL, as in `snk.db.catalog`.
"""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

# The driver prepares a statement first. Until it has received the answer and continues, the backend is active. A
# backend that waits for its client is not working, whatever its state.
_STATE = sa.text("""
    select case wait_event when 'ClientRead' then 'idle' else coalesce(state, 'unknown') end
    from pg_stat_activity where pid = :pid
""")


async def state_of(connection: AsyncConnection, pid: int) -> str | None:
    """The state of a backend of this role: ``idle`` if it waits for its client; None if it does not exist."""
    return (await connection.execute(_STATE, {"pid": pid})).scalar_one_or_none()
