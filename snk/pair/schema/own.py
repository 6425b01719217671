"""SNK's own schema, which exists in both databases: SNK stores its state next to the rows that the state describes."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA = "snk"
DEFAULT_TABLE = "records"
CANARIES = f"{SCHEMA}.canaries"

NAMES_ARRAY = pg.ARRAY(sa.Text, dimensions=1)
NUMBERS_ARRAY = pg.ARRAY(sa.BigInteger, dimensions=1)


class Own(DeclarativeBase):
    """The tables in the schema ``snk``."""

    metadata = sa.MetaData(schema=SCHEMA)


def ours(kind: "type[Mark | Conflict | Rejected | LedgerKept | SweepKept]") -> sa.ColumnElement[bool]:
    """The condition that a row is about one of the tables bound as ``names``."""
    return kind.table_name == sa.any_(sa.bindparam("names", type_=NAMES_ARRAY))


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
    storage_fingerprint: Mapped[str] = mapped_column("body", sa.Text, key="storage_fingerprint", server_default="")
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
