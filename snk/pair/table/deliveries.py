"""The statements that write rows and marks.

A mark moves by compare-and-set, and rows are inserted only if it moved. Both happen in one statement, so they take one
round trip and one transaction.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from snk.pair.catalog import lookup
from snk.pair.schema.own import Mark
from snk.pair.table.synced import IDS_ARRAY, SyncedTable


def _move_mark() -> sa.Update:
    """Compare-and-set: the mark moves only from the version that this process wrote last, under its own lease."""
    types: dict[str, Any] = {
        "high": sa.BigInteger,
        "safe": sa.BigInteger,
        "holes_low": IDS_ARRAY,
        "holes_high": IDS_ARRAY,
        "source": sa.Text,
        "boot": sa.Text,
    }
    return (
        sa.update(Mark)
        .where(Mark.table_name == sa.bindparam("key", type_=sa.Text))
        .where(Mark.version == sa.bindparam("expected", type_=sa.BigInteger))
        .where(Mark.epoch == sa.bindparam("lease", type_=sa.BigInteger))
        .values(
            version=Mark.version + 1,
            written_at=sa.func.now(),
            **{name: sa.bindparam(name, type_=type_) for name, type_ in types.items()},
        )
    )


MOVE_MARK = _move_mark()


# The transaction that inserted a row: its 32-bit number without the epoch, as rows store it.
MADE_IN = sa.cast(sa.cast(sa.literal_column("xmin"), sa.Text), sa.BigInteger)
_THIS_TRANSACTION = sa.cast(sa.cast(sa.func.pg_current_xact_id(), sa.Text), sa.BigInteger).bitwise_and(
    sa.literal_column("4294967295", sa.BigInteger)
)


def deliver(table: SyncedTable, *, by_uuid: bool = False, joined: bool = False, tells: bool = False) -> sa.Select[Any]:
    """Write rows and mark in one statement: no row is inserted unless the mark moved.

    A trigger may drop a row silently. Then the statement must fail, because the mark must not step over the row: it
    divides by zero. Rows are counted if the table had a trigger when it was looked up, and in partitioned tables, which
    may get a partition that has a trigger. A trigger added since the lookup makes the statement fail, too.

    Args:
        table: the destination table.
        by_uuid: insert in the order of the uuids, so that neighbours in the index are inserted one after the other.
        joined: the texts are bound as `SyncedTable.joined` returns them.
        tells: also return the transaction in which the mark moved.
    """
    moved = MOVE_MARK.returning(Mark.version).cte("moved")
    rows, values = table.unfolded(moved, joined=joined)
    selected = sa.select(*values).order_by(*([table.name_of(rows)] if by_uuid else []))
    insert_all = sa.insert(table.table).from_select(table.names, selected, include_defaults=False)
    wanted = sa.bindparam("rows", type_=sa.BigInteger)
    if table.shape.drops or table.shape.partitioned:
        inserted = insert_all.returning(sa.literal_column("1").label("one")).cte("inserted")
        has_moved, taken = _count(moved), _count(inserted)
        all_taken = taken == has_moved * wanted
    else:
        inserted = insert_all.cte("inserted")
        has_moved = _count(moved)
        all_taken = sa.not_(lookup.drops(table.shape))
    made_in = [_THIS_TRANSACTION] if tells else []
    return sa.select(has_moved / sa.case((all_taken, 1), else_=0), *made_in).add_cte(inserted)


def _count(rows: sa.CTE) -> sa.ScalarSelect[int]:
    return sa.select(sa.func.count()).select_from(rows).scalar_subquery()


def insert_missing(table: SyncedTable) -> sa.Executable:
    """Insert rows whose uuids do not exist yet; return their uuids."""
    rows, values = table.unfolded()
    return (
        insert(table.table)
        .from_select(table.names, sa.select(*values).select_from(rows), include_defaults=False)
        .on_conflict_do_nothing(index_elements=[table.uuid])
        .returning(sa.cast(table.uuid, sa.Text))
    )
