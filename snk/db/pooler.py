"""Recognising a pooler that shares sessions: PgBouncer in its transaction mode, and the like.

SNK's settings, its locks and its prepared statements live in a session, and what it knows of a boot holds as long as
the connection does. A pooler that gives every transaction another session takes all of that away.
"""

import random

import sqlalchemy as sa

from snk.db.errors import POOLED_HINT
from snk.db.server import Server
from snk.errors import PairUnfit

LOOKS = 12


async def refuse_shared_sessions(server: Server) -> None:
    """See that two connections of ours meet a backend each, and always the same.

    They ask in random order, for a pooler may hand its backends out in turn.

    Raises:
        PairUnfit: they do not.
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
        raise PairUnfit(f"{server.address} is behind a pooler that shares sessions", hint=POOLED_HINT)
