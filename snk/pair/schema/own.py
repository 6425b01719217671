"""SNK's own schema, kept in both databases: what it must remember lives with the rows it describes."""

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

    Written in the same statement as the rows it counts, by compare-and-set on its version.

    Attributes:
        table_name: schema and table, as they are called here.
        version: counts the writes.
        high: the greatest id ever read at the source.
        safe: the greatest high known to be durable at the source.
        holes_low: the lower ends of the intervals of ids at or below high that were never seen.
        holes_high: their upper ends.
        source: which database this mark belongs to: system identifier and database oid.
        boot: the source's last start or recovery; another one means that it may have forgotten rows above safe.
        epoch: of the lease under which it may be written; a daemon with an older lease is too late.
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
    """One uuid with two different rows. Neither is overwritten; a person decides.

    Attributes:
        source_row: the row of the other database, each value as PostgreSQL writes it.
        destination_row: the row that was already here.
    """

    __tablename__ = "conflicts"

    table_name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.Uuid(as_uuid=False), primary_key=True)
    source_row: Mapped[dict[str, str | None]] = mapped_column(pg.JSONB)
    destination_row: Mapped[dict[str, str | None]] = mapped_column(pg.JSONB)
    noticed_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())


class Rejected(Own):
    """A row that this database refuses, or that one of the two cannot give; tried again when ``next_at`` has come.

    Attributes:
        sqlstate: the five characters by which PostgreSQL names the error.
        error: the server's own sentence.
        tries: how often that was so.
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
    """The newest ids of the other database whose holes were given up, as intervals: rows may come there yet.

    It is kept now and then, not with every batch: what it forgets, a sweep finds.
    """

    __tablename__ = "ledgers"

    table_name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    lows: Mapped[list[int]] = mapped_column(pg.ARRAY(sa.BigInteger, dimensions=1))
    highs: Mapped[list[int]] = mapped_column(pg.ARRAY(sa.BigInteger, dimensions=1))


class SweepKept(Own):
    """What this database's table was when a flow into it looked last, and whether a sweep of it is owed.

    Attributes:
        table_name: schema and table, as they are called here.
        storage_fingerprint: `Shape.storage_fingerprint` of it then; empty where no flow looked yet.
        owed: why rows that the marks count may be missing here; empty once both sides were compared.
        doubts: counts the reasons, so that one that comes during a sweep is not settled by it.
    """

    __tablename__ = "sweeps"

    table_name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    storage_fingerprint: Mapped[str] = mapped_column("body", sa.Text, server_default="")
    owed: Mapped[str] = mapped_column(sa.Text, server_default="")
    doubts: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")


class Canary(Own):
    """A heartbeat, synced like any other table where the settings ask for it (SNK_CANARY_SECONDS)."""

    __tablename__ = "canaries"

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=False), primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.Uuid(as_uuid=False), unique=True)
    sent_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())


class Lease(Own):
    """Which daemon works on a table, both ways. They are kept in the database with the lesser identity.

    Attributes:
        epoch: counts the takings; it goes into the marks, where it fences off whoever held the lease before.
        holder: the daemon's name; empty where nobody works.
        alive: an advisory lock that the holder's connection keeps as long as it lives.
        until: by the server's clock, when the lease ends unless it is renewed.
        wanted_by: a daemon that has less to do and asks for this table.
        wanted_at: when it asked last.
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
    """The table that is made for those who bring none."""


class Record(Default):
    """The default table: an id that limits queries, a uuid that names the row everywhere, and data."""

    __tablename__ = DEFAULT_TABLE

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=False), primary_key=True)
    uuid: Mapped[UUID] = mapped_column(sa.Uuid, unique=True)
    data: Mapped[str] = mapped_column(sa.Text)


# A quiet flow waits in the server rather than ask again and again: a statement every half second instead of fifty a
# second. The function looks as often as it is told to and returns as soon as there is a row above the mark. It returns
# soon enough that its snapshot holds no VACUUM up.
WAIT = f"{SCHEMA}.wait_for_rows"
# What earlier versions made without.
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
    -- A look is dear where many rows are not committed yet.
    PERFORM pg_sleep(greatest(least(every_seconds, most_seconds), 4 * extract(epoch FROM clock_timestamp() - began)));
  END LOOP;
END $$
"""  # noqa: S608 - the name is a constant


def wanted(*, default_table: bool) -> dict[str, sa.schema.ExecutableDDLElement]:
    """What SNK needs in each database, by name, in the order of making; each statement spares what exists."""
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
        assert isinstance(table, sa.Table)  # noqa: S101 - declarative classes say FromClause, and are tables
        made[table.fullname] = sa.schema.CreateTable(table, if_not_exists=True)
    made[EPOCH] = sa.DDL(  # type: ignore[no-untyped-call]
        f"ALTER TABLE {SCHEMA}.marks ADD COLUMN IF NOT EXISTS epoch BIGINT DEFAULT '0' NOT NULL"
    )
    made[WAIT] = sa.DDL(  # type: ignore[no-untyped-call]
        _CREATE_WAIT.replace("%", "%%")
    )
    return made


def kind_of(name: str) -> Kind:
    """What one of the wanted names belongs to."""
    if name == EPOCH:
        return "column"
    return "schema" if name == SCHEMA else "function" if name == WAIT else "table"


def printed(*, default_table: bool) -> str:
    """The same statements as text, for whoever runs them by hand."""
    # As it is sent: another driver's dialect would write %% for %.
    dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]
    texts = (str(statement.compile(dialect=dialect)) for statement in wanted(default_table=default_table).values())
    lines = (line.rstrip() for text in texts for line in f"{text.strip()};\n".replace("\t", "  ").split("\n"))
    return "\n".join(lines)
