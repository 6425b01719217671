"""The consumer's tables, in the schema ``snk_batch_consumer``: how far its runs are, and what is on its way.

Consumers that share a database share these tables. The consumer that works on a run has incremented its
``attempt``, which is also copied to the run's files; every change of a file names its attempt.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from snk.batch.schema import Schema
from snk.batch.state import State

METADATA = sa.MetaData(schema="snk_batch_consumer")
NOW = sa.func.clock_timestamp()
"""Of the database: clocks of consumers decide nothing."""


def _when(name: str, *, now: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not now, server_default=NOW if now else None)


def _state() -> sa.Column[str]:
    return sa.Column("state", sa.Text, nullable=False, server_default=State.WAITING)


def _attempt() -> sa.Column[int]:
    return sa.Column("attempt", sa.BigInteger, nullable=False, server_default="0", comment="who works on it")


RUN = sa.Table(
    "run",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("uid", sa.Uuid, nullable=False, unique=True, comment="the platform's name for it, unlike all others"),
    sa.Column("number", sa.BigInteger, nullable=False, comment="the platform's number"),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False, comment="the highest one seen"),
    sa.Column("since", sa.BigInteger, nullable=False, comment="a call with a higher one runs it again"),
    _attempt(),
    sa.Column("holder", sa.Text, comment="the consumer that works on it"),
    _when("working_until"),
    _state(),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("payload", pg.JSONB, nullable=False),
    sa.Column("callback", sa.Text, nullable=False),
    _when("created_at", now=True),
    _when("called_at", now=True),
    _when("ended_at"),
)

FILE = sa.Table(
    "file",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("run", sa.BigInteger, sa.ForeignKey(RUN.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("definition", pg.JSONB, nullable=False, comment="as the platform sent it"),
    _attempt(),
    _state(),
    sa.Column("step", sa.Text, nullable=False, server_default="execute", comment="execute or reconcile"),
    sa.Column("mark", pg.JSONB, nullable=False, server_default="{}", comment="where its executor goes on"),
    sa.Column("rounds", sa.Integer, nullable=False, server_default="1", comment="how often it was begun"),
    sa.Column("expected", sa.BigInteger),
    sa.Column("received", sa.BigInteger),
    sa.Column("applied", sa.BigInteger),
    sa.Column("rejected", sa.BigInteger),
    sa.Column("digest", sa.Text),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.UniqueConstraint("run", "name"),
)

STAGED = sa.Table(
    "staged",
    METADATA,
    sa.Column("file", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False, comment="in its file, from 1"),
    sa.Column("record", pg.JSONB, nullable=False),
)
"""Valid records that are not reconciled yet. It refers to no file, because checking that for each record takes time."""

REJECTED = sa.Table(
    "rejected",
    METADATA,
    sa.Column("file", sa.BigInteger, sa.ForeignKey(FILE.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("record", pg.JSONB, nullable=False),
    sa.Column("reasons", pg.ARRAY(sa.Text), nullable=False),
)

OUTBOX = sa.Table(
    "outbox",
    METADATA,
    sa.Column("run", sa.BigInteger, sa.ForeignKey(RUN.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False, comment="the transaction that put it here"),
    sa.Column("callback", sa.Text, nullable=False),
    sa.Column("report", pg.JSONB, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("reason", sa.Text, nullable=False, server_default="", comment="why the last try failed"),
    _when("due_at", now=True),
)
"""The newest report of a run, until the platform has it."""
sa.Index("outbox_due", OUTBOX.c.due_at)

TABLES = Schema(METADATA, "consumer", "snk batch consumer init")
