"""What the server does for one of our connections.

The question is plain SQL, as in `snk.db.catalog`.
"""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

# A statement is prepared first, and until the driver has heard of that and asks for more, its backend is active: one
# that waits for its client is not at work, whatever its state.
_STATE = sa.text("""
    select case wait_event when 'ClientRead' then 'idle' else coalesce(state, 'unknown') end
    from pg_stat_activity where pid = :pid
""")


async def state_of(connection: AsyncConnection, pid: int) -> str | None:
    """What a backend of this role's does: ``idle`` where it waits for its client; None for one that is not there."""
    return (await connection.execute(_STATE, {"pid": pid})).scalar_one_or_none()
