"""What other sessions do to a synced table: which transactions could still add rows, and which hold locks.

The queries are plain SQL, as in `snk.db.catalog`; this file never reads rows of a user's table.
"""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.pair.core.report import Blocker, Locker

# INSERT and COPY hold ROW EXCLUSIVE on the table, and nextval holds it on the sequence, both until the transaction
# ends. The stronger modes that also allow writing are listed too. SHARE UPDATE EXCLUSIVE and SHARE are not listed:
# VACUUM and CREATE INDEX hold these for hours, and an INSERT in such a transaction takes ROW EXCLUSIVE anyway.
_WRITERS_OF = """
    from pg_locks l
    where l.locktype = 'relation' and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
      and l.relation = any(cast(:relations as bigint[])::oid[])
      and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
      and l.pid is distinct from pg_backend_pid()
"""
_WRITERS = sa.text(f"select distinct l.virtualtransaction {_WRITERS_OF}")

_BLOCKERS = sa.text(f"""
    select l.virtualtransaction as writer, l.pid, a.usename as "user", a.application_name as application, a.state,
           extract(epoch from clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8 as age_seconds,
           p.gid as prepared
    from (select distinct l.virtualtransaction, l.pid {_WRITERS_OF}) l
    left join pg_stat_activity a on a.pid = l.pid
    left join (pg_locks x join pg_prepared_xacts p on p.transaction = x.transactionid)
      on l.pid is null and x.pid is null and x.virtualtransaction = l.virtualtransaction
    where l.virtualtransaction = any(cast(:writers as text[]))
""")  # noqa: S608 - as _WRITERS

_LOCKERS = sa.text("""
    select distinct b.pid, b.usename as "user", b.application_name as application, b.state,
           extract(epoch from clock_timestamp() - b.xact_start)::float8 as age_seconds,
           extract(epoch from clock_timestamp() - w.query_start)::float8 as waiting_seconds
    from pg_stat_activity w
    cross join lateral unnest(pg_blocking_pids(w.pid)) blocking(pid)
    join pg_stat_activity b on b.pid = blocking.pid
    where w.application_name = 'snk' and w.wait_event_type = 'Lock' and w.datname = current_database()
""")


_HELD_UP = sa.text("""
    select pid from pg_stat_activity
    where application_name = 'snk' and datname = current_database() and wait_event_type = 'Lock'
      and clock_timestamp() - query_start > make_interval(secs => :seconds)
""")


async def held_up(connection: AsyncConnection, seconds: float) -> frozenset[int]:
    """The backends of SNK's sessions that have waited for a lock for so long."""
    return frozenset((await connection.execute(_HELD_UP, {"seconds": seconds})).scalars())


async def lockers(connection: AsyncConnection, side: str) -> list[Locker]:
    """The sessions that hold locks for which SNK's sessions wait in this database."""
    return [Locker(side=side, **row) for row in (await connection.execute(_LOCKERS)).mappings()]


async def writers(connection: AsyncConnection, relations: Iterable[int]) -> frozenset[str]:
    """Every transaction that could still add rows to these relations, except this connection's own."""
    result = await connection.execute(_WRITERS, {"relations": list(relations)})
    return frozenset(result.scalars())


async def blockers(connection: AsyncConnection, relations: Iterable[int], names: Iterable[str]) -> list[Blocker]:
    """Details about the named writers, as far as this role may see them."""
    result = await connection.execute(_BLOCKERS, {"relations": list(relations), "writers": list(names)})
    return [Blocker(**row) for row in result.mappings()]
