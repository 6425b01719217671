"""Queries the catalogs of one database about a synced table: its shape, its triggers, the tables it refers to.

The queries are plain SQL on PostgreSQL's own views; this file never reads rows of a user's table.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.names import split_name, written
from snk.db.catalog import BOOT, as_identifier
from snk.db.functions import NO_SEARCH_PATH
from snk.errors import TableUnfit
from snk.pair.catalog.shape import Column, InsertTrigger, Shape
from snk.pair.catalog.shape import Sequence as IdSequence
from snk.pair.core.selection import Candidate

_ROW_FINGERPRINT = "concat_ws('/', c.oid, c.relnatts, c.relrowsecurity)"

_FAMILY = """
           (with recursive family(oid) as (
              select c.oid union select i.inhrelid from pg_inherits i join family f on i.inhparent = f.oid)
            select array_agg(oid::bigint order by oid) from family)"""

# The ``tgtype`` bits of row-level BEFORE INSERT triggers, and the ``ev_type`` of rules for UPDATE and INSERT.
_BEFORE_ROW_INSERT, _ON_UPDATE, _ON_INSERT = 7, "2", "3"
_DROPS = f"""
           (exists (select from pg_trigger
                    where tgrelid = any ({_FAMILY}::oid[]) and tgtype & {_BEFORE_ROW_INSERT} = {_BEFORE_ROW_INSERT})
            or exists (select from pg_rewrite where ev_class = c.oid and ev_type = '{_ON_INSERT}'))"""  # noqa: S608 - of constants

# The files that contain rows: TRUNCATE gives every partition new files. A crash empties unlogged relations but keeps
# their files, so their boot is included.
_STORAGE_FINGERPRINT = f"""
           (select json_object_agg(concat_ws('.', s.nspname, m.relname),
                                   concat_ws('/', m.oid, m.relfilenode, case m.relpersistence when 'u' then {BOOT} end)
                                   order by m.oid)::text
            from pg_class m join pg_namespace s on s.oid = m.relnamespace where m.oid = any ({_FAMILY}::oid[]))"""  # noqa: S608 - of constants

_DEFINITION_FINGERPRINT = f"""
           concat_ws('/', c.oid, md5({_STORAGE_FINGERPRINT}), c.relrowsecurity, {_FAMILY}::text, {_DROPS},
             (select string_agg(concat_ws(':', a.attname, a.atttypid, a.atttypmod, a.attnotnull,
                                                a.attgenerated, a.attidentity), ',' order by a.attnum)
              from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
             (select string_agg(i.indexrelid::text, ',' order by i.indexrelid)
              from pg_index i where i.indrelid = c.oid and i.indisvalid),
             (select string_agg(concat_ws(':', t.oid, t.tgenabled), ',' order by t.oid)
              from pg_trigger t where t.tgrelid = any ({_FAMILY}::oid[]) and t.tgtype & 4 = 4))"""  # noqa: S608 - of constants

_DEFINITION_FINGERPRINTS = sa.text(f"""
    select w.at::int, {_DEFINITION_FINGERPRINT}
    from unnest(cast(:schemas as text[]), cast(:names as text[])) with ordinality w(space, name, at)
    join pg_namespace n on n.nspname = w.space join pg_class c on c.relnamespace = n.oid and c.relname = w.name
""")  # noqa: S608 - as _DEFINITION_FINGERPRINT

_TABLES = sa.text(f"""
    select w.at::int as at, n.nspname as schema, c.relname as name, c.oid::bigint as oid, c.relkind::text as kind,
           {_ROW_FINGERPRINT} as row_fingerprint, {_DEFINITION_FINGERPRINT} as definition_fingerprint,
           {_STORAGE_FINGERPRINT} as storage_fingerprint,
           array(select rulename::text from pg_rewrite where ev_class = c.oid and (ev_type = '{_ON_UPDATE}'
                 or ev_type = '{_ON_INSERT}' and ev_enabled <> 'D') order by 1) as rules, {_DROPS} as drops,
           has_table_privilege(c.oid, 'SELECT') as may_select,
           has_table_privilege(c.oid, 'INSERT') as may_insert,
           row_security_active(c.oid) as hidden, {_FAMILY} as relations
    from unnest(cast(:names as text[])) with ordinality w(name, at)
    join pg_class c on c.oid = to_regclass(w.name) join pg_namespace n on n.oid = c.relnamespace
""")  # noqa: S608 - as _DEFINITION_FINGERPRINT

# The transaction that last changed a row of pg_class: VACUUM and ANALYZE change such rows in place.
_CANDIDATES = sa.text("""
    select n.nspname as schema, c.relname as name, n.nspname = any(current_schemas(false)) as on_path,
           pg_table_is_visible(c.oid) as visible, concat_ws('/', c.oid, c.xmin) as version
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
      and n.nspname not in ('snk', 'information_schema') and left(n.nspname, 3) <> 'pg_'
""")

_SEARCH_PATH = sa.text("select current_setting('search_path')")

# A column may own one sequence and draw from another; the one it draws from is used.
_COLUMNS = sa.text("""
    select a.attrelid::bigint as relation, a.attname as name, format_type(a.atttypid, a.atttypmod) as type_name,
           -- a cast to a domain over varchar(n) cuts, too; an assignment of a text does not
           case when t.typtype = 'd' and t.typcategory = 'S' then 'text' else format_type(a.atttypid, -1) end as family,
           a.attnotnull as not_null,
           case when a.attgenerated = '' then '' else pg_get_expr(d.adbin, d.adrelid) end as expression,
           a.attidentity <> '' or d.oid is not null and a.attgenerated = '' as "default",
           a.attidentity = 'a' as always, a.attlen < 0 as varies,
           exists (select from pg_index i
                   where i.indrelid = a.attrelid and i.indisunique and i.indisvalid and i.indimmediate
                     and i.indpred is null and i.indexprs is null
                     and i.indnkeyatts = 1 and i.indkey[0] = a.attnum) as "unique",
           exists (select from pg_index i join pg_class x on x.oid = i.indexrelid join pg_am m on m.oid = x.relam
                   where i.indrelid = a.attrelid and i.indisvalid and i.indpred is null
                     and i.indkey[0] = a.attnum and m.amname = 'btree') as indexed,
           s.seqrelid::bigint as sequence_oid, s.seqrelid::regclass::text as sequence_name,
           s.seqincrement as increment, s.seqcache as cache, s.seqmin as least,
           s.seqmax as most, s.seqcycle as cycles,
           a.attidentity <> '' or has_sequence_privilege(s.seqrelid, 'USAGE') as usable
    from pg_attribute a
    join pg_type t on t.oid = a.atttypid
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    left join lateral (
      select s.* from pg_sequence s join pg_depend p on
           (p.classid = 'pg_attrdef'::regclass and p.objid = d.oid and p.refobjid = s.seqrelid)
        or (p.classid = 'pg_class'::regclass and p.objid = s.seqrelid and p.deptype in ('a', 'i')
            and p.refobjid = a.attrelid and p.refobjsubid = a.attnum)
      order by p.classid = 'pg_attrdef'::regclass desc limit 1) s on true
    where a.attrelid = any(cast(:oids as bigint[])::oid[]) and a.attnum > 0 and not a.attisdropped
    order by a.attrelid, a.attnum
""")

_OF_COLUMNS = (
    "name",
    "type_name",
    "family",
    "not_null",
    "expression",
    "default",
    "always",
    "varies",
    "unique",
    "indexed",
)

# Several families are asked about at once, and one may be a part of another: ``family`` tells which is meant.
_MEMBERS = "unnest(cast(:families as int[]), cast(:relations as bigint[])::oid[])"

_PARENTS = sa.text(f"""
    with member as (select * from {_MEMBERS} m(family, oid))
    select distinct m.family, n.nspname, c.relname
    from member m join pg_constraint k on k.conrelid = m.oid
    join pg_class c on c.oid = k.confrelid join pg_namespace n on n.oid = c.relnamespace
    where k.contype = 'f' and not exists (select from member o where o.family = m.family and o.oid = k.confrelid)
      -- a key onto a partitioned table has one onto each of its partitions below it
      and not exists (select from pg_constraint u where u.oid = k.conparentid and u.conrelid = k.conrelid)
""")  # noqa: S608 - of a constant

# A trigger is a user's unless it implements a foreign key or a deferred key. A partition's clone of its parent's
# trigger is returned only if the query covers the partition but not the parent; up to PostgreSQL 14, clones are also
# marked as internal. Statement triggers fire only on the table that the INSERT names, row triggers also on partitions.
_INSERT_TRIGGERS = sa.text(f"""
    with asked as (select * from {_MEMBERS} m(family, oid)),
    member as (
      select m.family, c.oid, format('%I.%I', n.nspname, c.relname) as "table",
             not exists (select from pg_inherits i join asked o on o.oid = i.inhparent
                         where o.family = m.family and i.inhrelid = c.oid) as root,
             current_setting('session_replication_role') = 'replica' as replica
      from asked m join pg_class c on c.oid = m.oid join pg_namespace n on n.oid = c.relnamespace)
    select c.family, c."table", t.tgname as name, format('%I.%I', n.nspname, p.proname) as function,
           case when t.tgtype & 2 = 2 then 'before' else 'after' end as timing,
           case when t.tgtype & 1 = 1 then 'row' else 'statement' end as level,
           coalesce(substring(pg_get_triggerdef(t.oid) from ' WHEN ([(].*[)]) EXECUTE FUNCTION '), '') as condition
    from member c join pg_trigger t on t.tgrelid = c.oid
    join pg_proc p on p.oid = t.tgfoid join pg_namespace n on n.oid = p.pronamespace
    left join pg_constraint k on k.oid = t.tgconstraint
    where t.tgtype & 4 = 4 and (c.root or t.tgtype & 1 = 1)
      and t.tgenabled in ('A', case when c.replica then 'R' else 'O' end)
      and (not t.tgisinternal or t.tgparentid <> 0 and coalesce(k.contype, 't') = 't')
      and not exists (select from pg_trigger u join member f on f.oid = u.tgrelid
                      where f.family = c.family and u.oid = t.tgparentid)
    order by 1, 2, 3
""")  # noqa: S608 - of a constant

_DRAWN = sa.text("""
    select case when has_sequence_privilege(sequence, 'SELECT, USAGE') then pg_sequence_last_value(sequence) end
    from unnest(cast(:sequences as bigint[])::oid[]) with ordinality asked(sequence, at) order by at
""")


async def table_shape(connection: AsyncConnection, name: str, side: str) -> Shape:
    """Look up a table by its name in the settings, as `table_shapes` does.

    Raises:
        TableUnfit: there is no such table.
    """
    found = (await table_shapes(connection, [name], side))[name]
    if isinstance(found, TableUnfit):
        raise found
    return found


async def table_shapes(connection: AsyncConnection, names: Sequence[str], side: str) -> dict[str, Shape | TableUnfit]:
    """Look up tables by their names in the settings, on the search path if a name has no schema.

    The connection must be in a transaction: the search path stays empty until it ends.

    Returns:
        Their shapes, and an error for each that is not there.
    """
    rows = (await connection.execute(_TABLES, {"names": [as_identifier(name) for name in names]})).mappings().all()
    there = {names[row["at"] - 1]: {key: _fact(row[key]) for key in row if key != "at"} for row in rows}
    lacking = {name: await _lacking(connection, name, side) for name in names if name not in there}
    await connection.execute(NO_SEARCH_PATH)
    columns: dict[int, list[Column]] = {facts["oid"]: [] for facts in there.values()}
    for row in (await connection.execute(_COLUMNS, {"oids": list(columns)})).mappings():
        columns[row["relation"]].append(_column(row))
    return {**lacking, **{name: Shape(**facts, columns=tuple(columns[facts["oid"]])) for name, facts in there.items()}}


def _fact(fact: Any) -> Any:
    return tuple(fact) if isinstance(fact, list) else fact


async def _lacking(connection: AsyncConnection, name: str, side: str) -> TableUnfit:
    return TableUnfit(f"{side}: there is no table {name}", hint=await _where_it_may_be(connection, name))


async def candidates(connection: AsyncConnection) -> list[Candidate]:
    """The tables that a pattern in SNK_TABLES may match: no partitions, temporary tables, or tables of a system."""
    return [Candidate(**row) for row in (await connection.execute(_CANDIDATES)).mappings()]


def row_fingerprint(shape: Shape) -> sa.ScalarSelect[str | None]:
    """`Shape.row_fingerprint` in a statement's own snapshot: it differs if the rows that are read have a new column."""
    relation = sa.table("pg_class", sa.column("relname"), sa.column("relnamespace")).alias("c")
    space = sa.table("pg_namespace", sa.column("oid"), sa.column("nspname"))
    return (
        sa.select(sa.literal_column(_ROW_FINGERPRINT, sa.Text))
        .select_from(relation.join(space, space.c.oid == relation.c.relnamespace))
        .where(relation.c.relname == shape.name, space.c.nspname == shape.schema)
        .scalar_subquery()
    )


def drops(shape: Shape) -> sa.ColumnElement[bool]:
    """`Shape.drops` in a statement's own snapshot."""
    trigger = sa.table("pg_trigger", sa.column("tgrelid", pg.OID), sa.column("tgtype", sa.SmallInteger))
    rule = sa.table("pg_rewrite", sa.column("ev_class", pg.OID), sa.column("ev_type", sa.Text))
    kind = trigger.c.tgtype.op("&")(_BEFORE_ROW_INSERT)
    relations = sa.literal(list(shape.relations), pg.ARRAY(pg.OID, dimensions=1))
    return sa.or_(
        sa.exists().where(trigger.c.tgrelid == sa.any_(relations), kind == _BEFORE_ROW_INSERT),
        sa.exists().where(rule.c.ev_class == shape.oid, rule.c.ev_type == _ON_INSERT),
    )


async def definition_fingerprints(connection: AsyncConnection, shapes: Sequence[Shape]) -> list[str | None]:
    """The current `Shape.definition_fingerprint` of each table; None if no table has its name any more."""
    names = {"schemas": [shape.schema for shape in shapes], "names": [shape.name for shape in shapes]}
    rows = (await connection.execute(_DEFINITION_FINGERPRINTS, names)).all()
    found: dict[int, str] = {row[0]: row[1] for row in rows}
    return [found.get(at) for at, _ in enumerate(shapes, 1)]


Relations = tuple[int, ...]
"""The oids of a table and of all its partitions, as `Shape.relations`."""


async def parents(connection: AsyncConnection, tables: Iterable[Relations]) -> dict[Relations, frozenset[str]]:
    """`Shape.full_name` of every other table that foreign keys of each table refer to."""
    asked = list(dict.fromkeys(tables))
    found: dict[Relations, set[str]] = {table: set() for table in asked}
    for family, space, name in await connection.execute(_PARENTS, _members(asked)):
        found[asked[family]].add(written((space, name)))
    return {table: frozenset(names) for table, names in found.items()}


async def insert_triggers(
    connection: AsyncConnection, tables: Iterable[Relations]
) -> dict[Relations, tuple[InsertTrigger, ...]]:
    """The users' triggers that an INSERT into each table fires on this connection, sorted by table and name.

    Args:
        connection: a connection to the tables' database; its session determines which triggers are enabled.
        tables: each by its relations.
    """
    asked = list(dict.fromkeys(tables))
    found: dict[Relations, list[InsertTrigger]] = {table: [] for table in asked}
    for row in (await connection.execute(_INSERT_TRIGGERS, _members(asked))).mappings():
        facts = dict(row)
        found[asked[facts.pop("family")]].append(InsertTrigger(**facts))
    return {table: tuple(triggers) for table, triggers in found.items()}


def _members(tables: Iterable[Relations]) -> dict[str, list[int]]:
    members = [(family, oid) for family, relations in enumerate(tables) for oid in relations]
    return {"families": [family for family, _ in members], "relations": [oid for _, oid in members]}


async def drawn(connection: AsyncConnection, sequences: Sequence[int]) -> list[int | None]:
    """The last id drawn from each sequence; None if none was drawn, or this role may not see it."""
    return list((await connection.execute(_DRAWN, {"sequences": list(sequences)})).scalars())


async def _where_it_may_be(connection: AsyncConnection, name: str) -> str:
    """The hint for a table that was not found."""
    if name == "records":
        return "Run `snk init`"
    if len(split_name(name)) > 1:
        return "Create the table, or fix SNK_TABLES"
    path = (await connection.execute(_SEARCH_PATH)).scalar_one()
    return f"Create the table, or fix SNK_TABLES. Names without a schema are looked up in the search_path, {path}"


def _column(row: sa.RowMapping) -> Column:
    sequence = None
    if row["sequence_oid"] is not None:
        sequence = IdSequence(
            row["sequence_oid"],
            row["sequence_name"],
            row["increment"],
            row["cache"],
            row["least"],
            row["most"],
            cycles=row["cycles"],
            usable=row["usable"],
        )
    return Column(**{name: row[name] for name in _OF_COLUMNS}, sequence=sequence)
