"""The statements that create SNK's own schema, in an order that works; `snk init --print` shows them."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg

from snk.db.catalog import Kind
from snk.db.journal import JOURNAL
from snk.pair.schema.own import (
    SCHEMA,
    Canary,
    Conflict,
    Lease,
    LedgerKept,
    Mark,
    Record,
    Rejected,
    SweepKept,
)

# While no flow has anything to do, SNK waits in the server instead of polling: two statements a second instead of
# fifty. The function returns as soon as a transaction has ended that wrote something. It returns early enough that its
# snapshot does not hold back VACUUM.
WAIT = f"{SCHEMA}.wait_for_commits"
# Earlier versions created the table without this column.
EPOCH = f"{SCHEMA}.marks.epoch"
OPTIONAL = (WAIT, JOURNAL.fullname)
"""What the daemon can do without: it polls instead of waiting, and it writes no journal."""
_CREATE_WAIT = f"""
CREATE OR REPLACE FUNCTION {WAIT}(
  seen text, most_seconds float8, every_seconds float8
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  until timestamptz := clock_timestamp() + make_interval(secs => most_seconds);
  present text;
BEGIN
  LOOP
    present := pg_current_snapshot()::text;
    IF present IS DISTINCT FROM seen OR clock_timestamp() > until THEN
      RETURN present;
    END IF;
    PERFORM pg_sleep(every_seconds);
  END LOOP;
END $$
"""


def wanted(*, default_table: bool) -> dict[str, sa.schema.ExecutableDDLElement]:
    """The objects that SNK needs in each database, by name, in creation order. Statements keep existing objects."""
    made: dict[str, sa.schema.ExecutableDDLElement] = {SCHEMA: sa.schema.CreateSchema(SCHEMA, if_not_exists=True)}
    for mapped in (
        Mark,
        Conflict,
        Rejected,
        LedgerKept,
        SweepKept,
        Lease,
        Canary,
        *((Record,) if default_table else ()),
    ):
        table = mapped.__table__
        assert isinstance(table, sa.Table)  # noqa: S101 - declared as FromClause, but is a table
        made[table.fullname] = sa.schema.CreateTable(table, if_not_exists=True)
    made[JOURNAL.fullname] = sa.schema.CreateTable(JOURNAL, if_not_exists=True)
    made[EPOCH] = sa.DDL(  # type: ignore[no-untyped-call]
        f"ALTER TABLE {SCHEMA}.marks ADD COLUMN IF NOT EXISTS epoch BIGINT DEFAULT '0' NOT NULL"
    )
    made[WAIT] = sa.DDL(  # type: ignore[no-untyped-call]
        _CREATE_WAIT.replace("%", "%%")
    )
    return made


def kind_of(name: str) -> Kind:
    """The kind of object that one of the wanted names refers to."""
    if name == EPOCH:
        return "column"
    return "schema" if name == SCHEMA else "function" if name == WAIT else "table"


def printed(*, default_table: bool) -> str:
    """The same statements as text, to be run by hand."""
    # Use the driver's own dialect: another driver's dialect would write %% for %.
    dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]
    texts = (str(statement.compile(dialect=dialect)) for statement in wanted(default_table=default_table).values())
    lines = (line.rstrip() for text in texts for line in f"{text.strip()};\n".replace("\t", "  ").split("\n"))
    return "\n".join(lines)
