"""What other sessions do to a table that is synced: who could still bring rows, and who holds locks.

The questions are plain SQL, as in `snk.db.catalog`; no row of a user's table passes through this file.
"""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.pair.core.report import Blocker, Locker

# An INSERT or COPY holds ROW EXCLUSIVE on the table, and nextval holds it on the sequence, both until the
# transaction ends. The modes above it that can write too are listed as well; SHARE UPDATE EXCLUSIVE and SHARE are not:
# they are what VACUUM and CREATE INDEX hold, for hours, and an INSERT beside them takes ROW EXCLUSIVE all the same.
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


async def lockers(connection: AsyncConnection, side: str) -> list[Locker]:
    """Who holds locks for which SNK's sessions wait in this database."""
    return [Locker(side=side, **row) for row in (await connection.execute(_LOCKERS)).mappings()]


async def writers(connection: AsyncConnection, relations: Iterable[int]) -> frozenset[str]:
    """Every transaction but this connection's own that could still bring rows into these relations."""
    result = await connection.execute(_WRITERS, {"relations": list(relations)})
    return frozenset(result.scalars())


async def blockers(connection: AsyncConnection, relations: Iterable[int], names: Iterable[str]) -> list[Blocker]:
    """Who the named writers are, as far as this role may see."""
    result = await connection.execute(_BLOCKERS, {"relations": list(relations), "writers": list(names)})
    return [Blocker(**row) for row in result.mappings()]
