"""Catalog queries that only `snk doctor` needs: they find what works now but will fail later.

They query PostgreSQL's own views in plain SQL, as in `snk.db.catalog`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import quoted_name

from snk.db.functions import NO_SEARCH_PATH
from snk.pair.catalog import lookup
from snk.pair.catalog.shape import Sequence


@dataclass(frozen=True, slots=True)
class MadeType:
    """A user-defined type that a table uses.

    Attributes:
        name: schema-qualified.
        kind: ``e`` for an enum, ``c`` for a composite, ``d`` for a domain, ``r`` for a range.
        parts: the labels of an enum; the attributes of a composite with their types; the type and the constraints of a
            domain; the type of a range's bounds.
    """

    name: str
    kind: Literal["e", "c", "d", "r"]
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Partitions:
    """How a partitioned table distributes its rows.

    Attributes:
        key: such as ``RANGE (at)``; an empty string for a table that is not partitioned.
        names: the schema-qualified names of the partitions that hold rows, by their bounds below this table, such as
            ``FOR VALUES FROM (0) TO (10)``.
    """

    key: str
    names: dict[str, str]

    @property
    def rest(self) -> bool:
        """Whether there is a default partition."""
        return "DEFAULT" in self.names


# Finds columns that are filled from a sequence: an identity, or a default that depends on a sequence.
_KEYS_ONTO_IDS = sa.text("""
    select distinct k.conname, k.confrelid::regclass::text
    from pg_constraint k join pg_attribute a on a.attrelid = k.confrelid and a.attnum = any(k.confkey)
    where k.contype = 'f' and k.conrelid = cast(:oid as bigint)::oid
      and (a.attidentity <> '' or exists (
        select from pg_attrdef d join pg_depend p on p.classid = 'pg_attrdef'::regclass and p.objid = d.oid
        join pg_sequence s on s.seqrelid = p.refobjid
        where d.adrelid = a.attrelid and d.adnum = a.attnum))
""")

# The types of the columns and, recursively, of their parts. Since PostgreSQL 17, a domain's NOT NULL is a constraint.
_TYPES = sa.text("""
    with recursive family(oid) as (
      select a.atttypid from pg_attribute a
      where a.attrelid = cast(:oid as bigint)::oid and a.attnum > 0 and not a.attisdropped
      union
      select part.oid from family f join pg_type t on t.oid = f.oid cross join lateral (
        select t.typelem where t.typcategory = 'A'
        union all select t.typbasetype where t.typtype = 'd'
        union all select g.rngsubtype from pg_range g where g.rngtypid = t.oid
        union all select g.rngtypid from pg_range g where g.rngmultitypid = t.oid
        union all select a.atttypid from pg_attribute a
                  where a.attrelid = t.typrelid and t.typtype = 'c' and a.attnum > 0 and not a.attisdropped) part(oid))
    select format_type(t.oid, null) as name, t.typtype::text as kind,
           case t.typtype
             when 'e' then array(select e.enumlabel::text from pg_enum e where e.enumtypid = t.oid
                                 order by e.enumsortorder)
             when 'c' then array(select format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod))
                                 from pg_attribute a where a.attrelid = t.typrelid
                                 and a.attnum > 0 and not a.attisdropped order by a.attnum)
             when 'd' then format_type(t.typbasetype, t.typtypmod)
                           || case when t.typnotnull then array['NOT NULL'] else '{}' end
                           || array(select pg_get_constraintdef(k.oid) from pg_constraint k
                                    where k.contypid = t.oid and k.contype = 'c' order by 1)
             else array(select format_type(g.rngsubtype, null) from pg_range g where g.rngtypid = t.oid)
           end as parts
    from family f join pg_type t on t.oid = f.oid
    where t.typtype in ('e', 'c', 'd', 'r') and t.typnamespace <> 'pg_catalog'::regnamespace
    order by 1
""")

_PARTITIONS = sa.text("""
    with recursive family(oid, bounds) as (
      select cast(:oid as bigint)::oid, null collate "C"
      union all
      select c.oid, concat_ws(', ', f.bounds, pg_get_partkeydef(nullif(f.oid, cast(:oid as bigint)::oid)),
                              pg_get_expr(c.relpartbound, c.oid))
      from family f join pg_inherits i on i.inhparent = f.oid join pg_class c on c.oid = i.inhrelid)
    select coalesce(f.bounds, '') as bounds, format('%I.%I', n.nspname, c.relname) as name
    from family f join pg_class c on c.oid = f.oid join pg_namespace n on n.oid = c.relnamespace
    where c.relkind <> 'p' order by 1
""")
_PARTITION_KEY = sa.text("select coalesce(pg_get_partkeydef(cast(:oid as bigint)::oid), '')")

_UNLOGGED = sa.text("""
    select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.oid = any(cast(:relations as bigint[])::oid[]) and c.relpersistence = 'u' order by 1
""")


async def keys_onto_ids(connection: AsyncConnection, table: int) -> list[tuple[str, str]]:
    """The foreign keys of a table that refer to ids generated from a sequence, each with the table it refers to."""
    return [(key, target) for key, target in await connection.execute(_KEYS_ONTO_IDS, {"oid": table})]


async def made_types(connection: AsyncConnection, table: int) -> dict[str, MadeType]:
    """The user-defined types in the columns of a table, by name.

    The connection must be in a transaction: the search path stays empty until it ends.
    """
    await connection.execute(NO_SEARCH_PATH)
    found = await connection.execute(_TYPES, {"oid": table})
    return {row["name"]: MadeType(row["name"], row["kind"], tuple(row["parts"])) for row in found.mappings()}


async def partitions(connection: AsyncConnection, table: int) -> Partitions:
    """How a table is partitioned."""
    key: str = (await connection.execute(_PARTITION_KEY, {"oid": table})).scalar_one()
    found = await connection.execute(_PARTITIONS, {"oid": table})
    return Partitions(key, {bounds: name for bounds, name in found if bounds})


async def unlogged(connection: AsyncConnection, relations: Iterable[int]) -> list[str]:
    """The unlogged relations among these; a crash of the server empties them."""
    return list((await connection.execute(_UNLOGGED, {"relations": list(relations)})).scalars())


async def next_of(connection: AsyncConnection, sequence: Sequence) -> int | None:
    """The next value of a sequence, even if it exceeds the limit; None if this role may not see it."""
    readable = sa.func.has_sequence_privilege(sa.literal(sequence.oid, pg.OID), "SELECT")
    if not (await connection.execute(sa.select(readable))).scalar_one():
        (drawn,) = await lookup.drawn(connection, [sequence.oid])
        return None if drawn is None else drawn + sequence.increment
    name = quoted_name(sequence.name, quote=False)  # it is already quoted where necessary
    itself = sa.table(name, sa.column("last_value", sa.BigInteger), sa.column("is_called", sa.Boolean))
    last, called = (await connection.execute(sa.select(itself.c.last_value, itself.c.is_called))).one()
    return int(last) + (sequence.increment if called else 0)


async def role(connection: AsyncConnection) -> str:
    """The role that SNK is logged in as."""
    return str((await connection.execute(sa.select(sa.func.current_user()))).scalar_one())
