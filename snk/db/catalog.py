"""Queries of one database's catalogs that do not depend on its tables: the server, names and rights.

The queries are plain SQL and read only PostgreSQL's own views: no row of a user's table passes through this file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.names import quoted, split_name, written

Kind = Literal["schema", "table", "column", "function"]


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """Facts about a server, as learned on one connection.

    Attributes:
        version: such as ``18.6``.
        number: the version as a number, such as 180006.
        standby: the server is in recovery: it does not show writers' locks, so SNK cannot tail it.
        identity: identifies the database: the cluster's system identifier and the database's oid.
        boot: changes with every start, crash recovery and promotion. After a crash of one backend the server recovers
            without a restart, so the start time alone does not identify a boot; the reset of the statistics does.
        clock: the server's time.
        encoding: the encoding of text in this database, such as ``UTF8``.
        read_only: the server accepts no writes, temporarily or until somebody changes a setting.
    """

    version: str
    number: int
    standby: bool
    identity: str
    boot: str
    clock: datetime
    encoding: str
    read_only: bool


BOOT = """concat_ws('/',
             case when pg_is_in_recovery() then 'standby' else left(pg_walfile_name(pg_current_wal_lsn()), 8) end,
             extract(epoch from pg_postmaster_start_time()),
             (select extract(epoch from stats_reset) from pg_stat_bgwriter))"""

_SERVER = sa.text(f"""
    select current_setting('server_version') as version,
           current_setting('server_version_num')::int as number,
           pg_is_in_recovery() as standby,
           (select system_identifier from pg_control_system())::text
             || '/' || (select oid from pg_database where datname = current_database()) as identity,
           {BOOT} as boot,
           clock_timestamp() as clock, current_setting('server_encoding') as encoding,
           current_setting('transaction_read_only') = 'on' as read_only
""")  # noqa: S608 - built from constants

_EXISTS = {
    "schema": sa.text("select to_regnamespace(:name) is not null"),
    "table": sa.text("select to_regclass(:name) is not null"),
    "function": sa.text("select to_regproc(:name) is not null"),
    "column": sa.text(
        "select exists (select from pg_attribute where attrelid = to_regclass(:name) and attname = :column)"
    ),
}

# The limits of a role and of a database do not apply to superusers.
_CONNECTIONS_ALLOWED = sa.text("""
    select case when r.rolsuper then current_setting('max_connections')::int else least(
      current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0),
      nullif(r.rolconnlimit, -1), nullif(d.datconnlimit, -1)) end
    from pg_roles r, pg_database d where r.rolname = current_user and d.datname = current_database()
""")

_FULL_NAMES = sa.text("""
    select w.at, n.nspname, c.relname
    from unnest(cast(:names as text[])) with ordinality w(name, at)
    join pg_class c on c.oid = to_regclass(w.name) join pg_namespace n on n.oid = c.relnamespace
""")

_RIGHTS_LACKING = sa.text("""
    select 'USAGE on schema ' || nspname from pg_namespace
    where nspname = :schema and not has_schema_privilege(oid, 'USAGE')
    union all
    select right_wanted || ' on ' || c.oid::regclass
    from pg_class c join pg_namespace n on n.oid = c.relnamespace,
         unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) right_wanted
    where n.nspname = :schema and c.relkind = 'r' and c.oid::regclass::text <> all(cast(:besides as text[]))
      and not has_table_privilege(c.oid, right_wanted)
    union all
    select 'EXECUTE on function ' || p.oid::regprocedure
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = :schema and not has_function_privilege(p.oid, 'EXECUTE')
""")

_SOURCE = sa.text("select source from pg_settings where name = :name")


async def server_facts(connection: AsyncConnection) -> ServerFacts:
    """Query the facts about the server."""
    return ServerFacts(**(await connection.execute(_SERVER)).mappings().one())


def timeline(boot: str) -> str:
    """The timeline of a boot (`ServerFacts.boot`): a different one means a fail-over or a restored backup."""
    return boot.partition("/")[0]


async def exists(connection: AsyncConnection, name: str, kind: Kind) -> bool:
    """Whether a table, schema or function of this name exists, or a column: ``schema.table.column``."""
    relation, _, column = name.rpartition(".") if kind == "column" else (name, "", "")
    values = {"name": as_identifier(relation)} | ({"column": column} if column else {})
    return bool((await connection.execute(_EXISTS[kind], values)).scalar_one())


async def full_name(connection: AsyncConnection, name: str) -> str | None:
    """`Shape.full_name` of the table that the settings call ``name``; None if there is no such table."""
    return (await full_names(connection, [name])).get(name)


async def connections_allowed(connection: AsyncConnection) -> int:
    """How many connections to this database its role may have at once, if there are no others."""
    return int((await connection.execute(_CONNECTIONS_ALLOWED)).scalar_one())


async def full_names(connection: AsyncConnection, names: Sequence[str]) -> dict[str, str]:
    """`full_name` of each of these names that has one."""
    found = await connection.execute(_FULL_NAMES, {"names": [as_identifier(name) for name in names]})
    return {names[at - 1]: written((schema, table)) for at, schema, table in found}


async def rights_lacking(connection: AsyncConnection, schema: str, besides: Sequence[str] = ()) -> list[str]:
    """The rights in SNK's own schema that its role needs and lacks, such as ``UPDATE on snk.marks``.

    Args:
        connection: a connection.
        schema: the name of the schema.
        besides: tables to which no right is needed.
    """
    values = {"schema": schema, "besides": list(besides)}
    return list((await connection.execute(_RIGHTS_LACKING, values)).scalars())


async def source_of(connection: AsyncConnection, setting: str) -> str | None:
    """Where a setting's value comes from, such as ``user`` for a role's own; None if the server has no such setting."""
    return (await connection.execute(_SOURCE, {"name": setting})).scalar_one_or_none()


def as_identifier(name: str) -> str:
    """``schema.table`` or ``table`` as an SQL identifier, with every part quoted."""
    return ".".join(quoted(part) for part in split_name(name))
