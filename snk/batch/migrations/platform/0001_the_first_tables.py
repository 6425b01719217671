"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0001"
down_revision = None
SCHEMA = "snk_batch"


def upgrade() -> None:
    """Create all of them."""
    _audit()
    _node()
    _run()
    _task()
    _trigger()
    _attempt()
    _file()
    _alert()
    _channel()
    _notice()


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="a task, run N, or alert N"),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index("audit_subject", "audit", ["subject", "id"], unique=False, schema=SCHEMA)


def _node() -> None:
    op.create_table(
        "node",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=True, comment="when it ended in good order"),
        sa.PrimaryKeyConstraint("name"),
        schema=SCHEMA,
    )


def _run() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("parent", sa.BigInteger(), nullable=True, comment="the run of the group that it belongs to"),
        sa.Column("position", sa.Integer(), server_default="0", nullable=False, comment="in its group"),
        sa.Column(
            "mode", sa.Text(), nullable=True, comment="SYNC or ASYNC for the run of a group; null for that of a task"
        ),
        sa.Column("state", sa.Text(), server_default="WAITING", nullable=False),
        sa.Column(
            "active", sa.Boolean(), server_default=sa.text("false"), nullable=False, comment="whether it is its turn"
        ),
        sa.Column("overdue", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False, comment="how often it was taken"),
        sa.Column(
            "since", sa.BigInteger(), server_default="0", nullable=False, comment="reports of older fences are void"
        ),
        sa.Column("node", sa.Text(), nullable=True, comment="who calls its consumer just now"),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("calls", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False, comment="calls in a row that failed"),
        sa.Column("consumer", sa.Text(), nullable=True, comment="the instance that works on it"),
        sa.Column("worked_at", sa.DateTime(timezone=True), nullable=True, comment="when a call worked last"),
        sa.Column(
            "backfill",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="gives way to the present",
        ),
        sa.Column("payload", pg.JSONB(), nullable=False),
        sa.Column("files", pg.JSONB(), nullable=True, comment="names of the files that are run; null for all"),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index("run_active", "run", ["task"], unique=True, schema=SCHEMA, postgresql_where="active")
    op.create_index(
        "run_deadline",
        "run",
        ["deadline_at"],
        unique=False,
        schema=SCHEMA,
        postgresql_where=sa.text("state IN ('RUNNING', 'WAITING') AND NOT overdue AND deadline_at IS NOT NULL"),
    )
    op.create_index("run_due", "run", ["due_at"], unique=False, schema=SCHEMA, postgresql_where="active")
    op.create_index(
        "run_parent",
        "run",
        ["parent", "position"],
        unique=False,
        schema=SCHEMA,
        postgresql_where=sa.text("parent IS NOT NULL"),
    )
    op.create_index(
        "run_queued",
        "run",
        ["id"],
        unique=False,
        schema=SCHEMA,
        postgresql_where=sa.text("state IN ('RUNNING', 'WAITING') AND NOT active"),
    )
    op.create_index("run_task", "run", ["task", "id"], unique=False, schema=SCHEMA)


def _task() -> None:
    op.create_table(
        "task",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="task or group"),
        sa.Column("definition", pg.JSONB(), nullable=False, comment="as snk batch export writes it"),
        sa.Column("message", sa.Text(), server_default="", nullable=False, comment="which message triggers it"),
        sa.Column("next_tick", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_by", sa.Text(), nullable=True, comment="who paused it; it is not paused if this is null"),
        sa.Column("paused_note", sa.Text(), server_default="", nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "changed_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("name"),
        schema=SCHEMA,
    )
    op.create_index("task_tick", "task", ["next_tick"], unique=False, schema=SCHEMA)


def _trigger() -> None:
    op.create_table(
        "trigger",
        sa.Column("target", sa.Text(), nullable=False, comment="a task or a group"),
        sa.Column("key", sa.Text(), nullable=False, comment="what identifies it: there is one run for each, ever"),
        sa.Column("source", sa.Text(), nullable=False, comment="message, calendar, person, channel, backfill"),
        sa.Column("payload", pg.JSONB(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False, comment="run, skipped, joined"),
        sa.Column("run", sa.BigInteger(), nullable=True, comment="the run that it started, or joined"),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("target", "key"),
        schema=SCHEMA,
    )


def _attempt() -> None:
    op.create_table(
        "attempt",
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["run"], [f"{SCHEMA}.run.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", "fence"),
        schema=SCHEMA,
    )


def _file() -> None:
    op.create_table(
        "file",
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="WAITING", nullable=False),
        sa.Column("expected", sa.BigInteger(), nullable=True),
        sa.Column("received", sa.BigInteger(), nullable=True),
        sa.Column("applied", sa.BigInteger(), nullable=True),
        sa.Column("rejected", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "reported_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["run"], [f"{SCHEMA}.run.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", "name"),
        schema=SCHEMA,
    )


def _alert() -> None:
    op.create_table(
        "alert",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="overdue, failed, recon_failed, unreachable, no_node"),
        sa.Column("subject", sa.Text(), nullable=False, comment="run N, task NAME, or platform"),
        sa.Column("task", sa.Text(), nullable=True),
        sa.Column("run", sa.BigInteger(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False, comment="what was found last"),
        sa.Column("times", sa.Integer(), server_default="1", nullable=False, comment="how often its cause was found"),
        sa.Column("raised_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column(
            "seen_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when its cause was found last",
        ),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolution", sa.Text(), server_default="", nullable=False, comment="why it is resolved"),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False, comment="of who acknowledged it"),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index(
        "alert_open",
        "alert",
        ["kind", "subject"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )


def _channel() -> None:
    op.create_table(
        "channel",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kinds", pg.JSONB(), nullable=True, comment="the kinds of alerts that it is told; null for all"),
        sa.Column(
            "seen_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when a node last had it in its settings",
        ),
        sa.PrimaryKeyConstraint("name"),
        schema=SCHEMA,
    )


def _notice() -> None:
    op.create_table(
        "notice",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "uid", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False, comment="for who receives it"
        ),
        sa.Column("alert", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False, comment="raised or resolved"),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False, comment="of the last try"),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("gave_up_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["alert"], [f"{SCHEMA}.alert.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("alert", "channel", "event", name="notice_once"),
        schema=SCHEMA,
    )
    op.create_index(
        "notice_due",
        "notice",
        ["due_at"],
        unique=False,
        schema=SCHEMA,
        postgresql_where=sa.text("sent_at IS NULL AND gave_up_at IS NULL"),
    )
