"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0001"
down_revision = None
SCHEMA = "snk_batch_consumer"


def upgrade() -> None:
    """Create all of them."""
    _run()
    _staged()
    _file()
    _outbox()
    _rejected()


def _run() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False, comment="the platform's number"),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False, comment="the highest one seen"),
        sa.Column("since", sa.BigInteger(), nullable=False, comment="a call with a higher one runs it again"),
        sa.Column("attempt", sa.BigInteger(), server_default="0", nullable=False, comment="who works on it"),
        sa.Column("holder", sa.Text(), nullable=True, comment="the consumer that works on it"),
        sa.Column("working_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.Text(), server_default="WAITING", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("payload", pg.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("callback", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )


def _staged() -> None:
    op.create_table(
        "staged",
        sa.Column("file", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False, comment="in its file, from 1"),
        sa.Column("record", pg.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("file", "number"),
        schema=SCHEMA,
    )


def _file() -> None:
    op.create_table(
        "file",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("definition", pg.JSONB(astext_type=sa.Text()), nullable=False, comment="as the platform sent it"),
        sa.Column("attempt", sa.BigInteger(), server_default="0", nullable=False, comment="who works on it"),
        sa.Column("state", sa.Text(), server_default="WAITING", nullable=False),
        sa.Column("step", sa.Text(), server_default="execute", nullable=False, comment="execute or reconcile"),
        sa.Column(
            "mark",
            pg.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="where its executor goes on",
        ),
        sa.Column("rounds", sa.Integer(), server_default="1", nullable=False, comment="how often it was begun"),
        sa.Column("expected", sa.BigInteger(), nullable=True),
        sa.Column("received", sa.BigInteger(), nullable=True),
        sa.Column("applied", sa.BigInteger(), nullable=True),
        sa.Column("rejected", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["run"], [f"{SCHEMA}.run.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("run", "name"),
        schema=SCHEMA,
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column(
            "version", sa.BigInteger(), server_default="1", nullable=False, comment="grows with every newer report"
        ),
        sa.Column("callback", sa.Text(), nullable=False),
        sa.Column("report", pg.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False, comment="why the last try failed"),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["run"], [f"{SCHEMA}.run.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run"),
        schema=SCHEMA,
    )
    op.create_index("outbox_due", "outbox", ["due_at"], unique=False, schema=SCHEMA)


def _rejected() -> None:
    op.create_table(
        "rejected",
        sa.Column("file", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("record", pg.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reasons", pg.ARRAY(sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["file"], [f"{SCHEMA}.file.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("file", "number"),
        schema=SCHEMA,
    )
