"""Detection of poolers that share sessions, such as PgBouncer in transaction mode.

SNK's settings, locks and prepared statements belong to a session, and what SNK knows about a boot is valid as long as
the connection lives. A pooler that runs each transaction in another session breaks all of this.
"""

import random

import sqlalchemy as sa

from snk.db.errors import POOLED_HINT
from snk.db.server import Server
from snk.errors import DatabaseUnfit

LOOKS = 12


async def refuse_shared_sessions(server: Server) -> None:
    """Check that two connections have one backend each, and keep it.

    The connections query in random order, because a pooler may assign its backends in turn.

    Raises:
        DatabaseUnfit: a pooler shares sessions.
    """
    who = sa.select(sa.func.pg_backend_pid())
    async with server.connect() as one, server.connect() as other:
        seen: dict[int, set[int]] = {0: set(), 1: set()}
        for look in range(LOOKS):
            at = look if look in seen else random.randrange(2)  # noqa: S311 - not a secret
            connection = (one, other)[at]
            async with server.answering(connection):
                seen[at].add((await connection.execute(who)).scalar_one())
    if len(seen[0]) > 1 or len(seen[1]) > 1 or seen[0] & seen[1]:
        raise DatabaseUnfit(f"{server.address} is behind a pooler that shares sessions", hint=POOLED_HINT)
