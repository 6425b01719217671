"""Examine a pair before the first run: what is wrong, what will be slow, and what tailing cannot see.

`snk.pair.doctor.server` examines a server, `table` a table on one side, `both` what the two sides must have in common,
and `redis` examines Redis.
"""

from collections.abc import AsyncIterator

from snk.core.finding import Finding
from snk.errors import SnkError
from snk.pair.core.budget import CONNECTIONS
from snk.pair.doctor.both import of_both
from snk.pair.doctor.looked import Looked, broken_off
from snk.pair.doctor.redis import of_redis
from snk.pair.doctor.server import of_server
from snk.pair.doctor.table import of_tables
from snk.pair.sync.pair import Pair
from snk.pair.table.fitness import look_over, server_faults

__all__ = ["examine"]


async def examine(pair: Pair, redis_dsn: str, connections: int = CONNECTIONS) -> AsyncIterator[Finding]:
    """Yield all findings about a pair, one after another; nothing is changed."""
    for table, reason in pair.left_out.items():
        yield Finding("warning", table, f"it is left out: {reason}", "Exclude it in SNK_TABLES if that is right")
    async for finding in _of_pair(pair, connections):
        yield finding
    async for finding in of_redis(pair, redis_dsn):
        yield finding


async def _of_pair(pair: Pair, connections: int) -> AsyncIterator[Finding]:
    found: list[Looked] = []
    for server in (pair.first, pair.second):
        try:
            facts, faults = await look_over(server, connections)
            async for finding in of_server(server, facts, faults):
                yield finding
            if list(server_faults(facts, server.address)):
                continue  # the tables of this server cannot be examined
            looked = Looked(server, facts, {})
            async for finding in of_tables(looked, pair.tables):
                yield finding
            found.append(looked)
        except SnkError as error:
            yield broken_off(server.label, error)
    if len(found) == 2:  # noqa: PLR2004 - first and second
        try:
            async for finding in of_both(*found):
                yield finding
        except SnkError as error:
            yield broken_off("pair", error)
