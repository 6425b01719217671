"""SNK's own schema, which exists in both databases: SNK stores its state next to the rows that the state describes."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from snk.db.catalog import Kind

SCHEMA = "snk"
DEFAULT_TABLE = "records"
CANARIES = f"{SCHEMA}.canaries"


class Own(DeclarativeBase):
    """The tables in the schema ``snk``."""

    metadata = sa.MetaData(schema=SCHEMA)


class Mark(Own):
    """How far a table of *the other* database was delivered into this one.

    It is written in the same statement as the rows it counts, by compare-and-set on its version.

    Attributes:
        table_name: schema and table, as named in this database.
        version: number of writes.
        high: the greatest id ever read at the source.
        safe: the greatest high known to be durable at the source.
        holes_low: the lower ends of the intervals of ids at or below high that were never seen.
        holes_high: their upper ends.
        source: the database that this mark refers to: system identifier and database oid.
        boot: the boot of the source; after a new boot, the source may have lost rows above safe.
        epoch: epoch of the lease that may write this mark; a daemon with an older lease cannot.
    """

    __tablename__ = "marks"

    table_name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    version: Mapped[int] = mapped_column(sa.BigInteger)
    high: Mapped[int] = mapped_column(sa.BigInteger)
    safe: Mapped[int] = mapped_column(sa.BigInteger)
    holes_low: Mapped[list[int]] = mapped_column(pg.ARRAY(sa.BigInteger, dimensions=1))
    holes_high: Mapped[list[int]] = mapped_column(pg.ARRAY(sa.BigInteger, dimensions=1))
    source: Mapped[str] = mapped_column(sa.Text)
    boot: Mapped[str] = mapped_column(sa.Text)
    epoch: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    written_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())


class Conflict(Own):
    """One uuid with two different rows. SNK overwrites neither; a person decides.

    Attributes:
        source_row: the row of the other database, each value in PostgreSQL's text form.
        destination_row: the row that already existed here.
    """

    __tablename__ = "conflicts"

    table_name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.Uuid(as_uuid=False), primary_key=True)
    source_row: Mapped[dict[str, str | None]] = mapped_column(pg.JSONB)
    destination_row: Mapped[dict[str, str | None]] = mapped_column(pg.JSONB)
    noticed_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())


class Rejected(Own):
    """A row that this database refuses, or that one of the two cannot return. SNK retries it at ``next_at``.

    Attributes:
        sqlstate: PostgreSQL's error code, five characters.
        error: the server's error message.
        tries: how many attempts failed.
    """

    __tablename__ = "rejected"

    table_name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.Uuid(as_uuid=False), primary_key=True)
    sqlstate: Mapped[str] = mapped_column(sa.Text)
    error: Mapped[str] = mapped_column(sa.Text)
    tries: Mapped[int] = mapped_column(sa.Integer, server_default="1")
    first_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())
    last_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())
    next_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())


class LedgerKept(Own):
    """The newest ids of the other database whose holes were given up, as intervals: rows may still appear there.

    It is stored periodically, not with every batch. A sweep finds the rows that it misses.
    """

    __tablename__ = "ledgers"

    table_name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    lows: Mapped[list[int]] = mapped_column(pg.ARRAY(sa.BigInteger, dimensions=1))
    highs: Mapped[list[int]] = mapped_column(pg.ARRAY(sa.BigInteger, dimensions=1))


class SweepKept(Own):
    """The storage of this database's table when a flow into it last looked, and whether a sweep of it is owed.

    Attributes:
        table_name: schema and table, as named in this database.
        storage_fingerprint: its `Shape.storage_fingerprint` at that time; empty if no flow has looked yet.
        owed: why rows that the marks count may be missing here; empty once both sides were compared.
        doubts: number of reasons so far, so that a sweep does not settle a reason that arises while it runs.
    """

    __tablename__ = "sweeps"

    table_name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    storage_fingerprint: Mapped[str] = mapped_column("body", sa.Text, server_default="")
    owed: Mapped[str] = mapped_column(sa.Text, server_default="")
    doubts: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")


class Canary(Own):
    """A heartbeat, synced like any other table if the settings enable it (SNK_CANARY_SECONDS)."""

    __tablename__ = "canaries"

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=False), primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.Uuid(as_uuid=False), unique=True)
    sent_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())


class Lease(Own):
    """Which daemon works on a table, in both directions. Leases are stored in the database with the lesser identity.

    Attributes:
        epoch: how often the lease was taken; it is stored in the marks, where it fences off earlier holders.
        holder: the daemon's name; empty if no daemon works on the table.
        alive: key of an advisory lock that the holder's connection holds as long as it lives.
        until: when the lease expires unless it is renewed, by the server's clock.
        wanted_by: a daemon that has less to do and requests this table.
        wanted_at: time of its last request.
    """

    __tablename__ = "leases"

    table_name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    epoch: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    holder: Mapped[str] = mapped_column(sa.Text, server_default="")
    alive: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    until: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())
    wanted_by: Mapped[str] = mapped_column(sa.Text, server_default="")
    wanted_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())


class Default(DeclarativeBase):
    """The table that SNK creates for users who have none."""


class Record(Default):
    """The default table: an id to tail by, a uuid that identifies the row on both sides, and data."""

    __tablename__ = DEFAULT_TABLE

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=False), primary_key=True)
    uuid: Mapped[UUID] = mapped_column(sa.Uuid, unique=True)
    data: Mapped[str] = mapped_column(sa.Text)


# An idle flow waits in the server instead of polling: one statement every half second instead of fifty a second. The
# function checks for rows at the requested interval, and returns as soon as there is a row above the mark. It returns
# early enough that its snapshot does not hold back VACUUM.
WAIT = f"{SCHEMA}.wait_for_rows"
# Earlier versions created the table without this column.
EPOCH = f"{SCHEMA}.marks.epoch"
_CREATE_WAIT = f"""
CREATE OR REPLACE FUNCTION {WAIT}(
  table_oid oid, id_column text, high bigint, most_seconds float8, every_seconds float8
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  until timestamptz := clock_timestamp() + make_interval(secs => most_seconds);
  question text := format('SELECT EXISTS (SELECT FROM %s WHERE %I > $1)', table_oid::regclass, id_column);
  found_one boolean;
  began timestamptz;
BEGIN
  LOOP
    began := clock_timestamp();
    EXECUTE question INTO found_one USING high;
    IF found_one OR clock_timestamp() > until THEN
      RETURN found_one;
    END IF;
    -- A look is expensive where many rows are not committed yet.
    PERFORM pg_sleep(greatest(least(every_seconds, most_seconds), 4 * extract(epoch FROM clock_timestamp() - began)));
  END LOOP;
END $$
"""  # noqa: S608 - the name is a constant


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
