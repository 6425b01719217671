"""The platform's tables, in the schema ``snk_batch``: what is true of tasks, runs and nodes stands here alone.

A run is its own entry in the queue: whoever is to call its consumer takes it by a statement that raises its ``fence``,
and every later change says which fence it holds. So there is no second account that could differ.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from snk.batch.schema import Schema
from snk.batch.state import LIVE, State

SCHEMA = "snk_batch"
METADATA = sa.MetaData(schema=SCHEMA)
NOW = sa.func.clock_timestamp()
"""Of the database: clocks of nodes decide nothing. For what is written."""
PRESENT = sa.func.statement_timestamp()
"""The same for comparisons: it is one moment for a whole statement, so an index finds what is due by it."""


def _when(name: str, *, null: bool = True, now: bool = False, comment: str | None = None) -> sa.Column[object]:
    default = NOW if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=null, server_default=default, comment=comment)


def _state() -> sa.Column[str]:
    return sa.Column("state", sa.Text, nullable=False, server_default=State.WAITING)


TASK = sa.Table(
    "task",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False, comment="task or group"),
    sa.Column("definition", pg.JSONB, nullable=False, comment="as snk batch export writes it"),
    sa.Column("message", sa.Text, nullable=False, server_default="", comment="which message triggers it"),
    _when("next_tick"),
    sa.Column("paused_by", sa.Text, comment="who paused it; it is not paused if this is null"),
    sa.Column("paused_note", sa.Text, nullable=False, server_default=""),
    _when("paused_at"),
    _when("changed_at", null=False, now=True),
)
"""Tasks and groups."""
sa.Index("task_tick", TASK.c.next_tick)
HAS_MESSAGE = TASK.c.message != sa.literal_column("''")
sa.Index("task_message", TASK.c.message, postgresql_where=HAS_MESSAGE)

TRIGGER = sa.Table(
    "trigger",
    METADATA,
    sa.Column("target", sa.Text, primary_key=True, comment="a task or a group"),
    sa.Column("key", sa.Text, primary_key=True, comment="what identifies it: there is one run for each, ever"),
    sa.Column("source", sa.Text, nullable=False, comment="message, calendar, person, channel, backfill"),
    sa.Column("payload", pg.JSONB, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False, comment="run, skipped, joined"),
    sa.Column("run", sa.BigInteger, comment="the run that it started, or joined"),
    _when("at", null=False, now=True),
)

RUN = sa.Table(
    "run",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column(
        "uid",
        sa.Uuid,
        nullable=False,
        server_default=sa.func.gen_random_uuid(),
        comment="unlike that of every other run of any platform",
    ),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("parent", sa.BigInteger, comment="the run of the group that it belongs to"),
    sa.Column("position", sa.Integer, nullable=False, server_default="0", comment="in its group"),
    sa.Column("mode", sa.Text, comment="SYNC or ASYNC for the run of a group; null for that of a task"),
    _state(),
    sa.Column("active", sa.Boolean, nullable=False, server_default=sa.false(), comment="whether it is its turn"),
    sa.Column("overdue", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("fence", sa.BigInteger, nullable=False, server_default="0", comment="grows whenever it is taken"),
    sa.Column("since", sa.BigInteger, nullable=False, server_default="0", comment="reports of older fences are void"),
    sa.Column("node", sa.Text, comment="who calls its consumer just now"),
    _when("lease_until"),
    _when("due_at"),
    sa.Column("calls", sa.Integer, nullable=False, server_default="0"),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0", comment="calls in a row that failed"),
    sa.Column("consumer", sa.Text, comment="the instance that works on it"),
    _when("worked_at", comment="when a call worked last"),
    sa.Column("backfill", sa.Boolean, nullable=False, server_default=sa.false(), comment="gives way to the present"),
    sa.Column("payload", pg.JSONB, nullable=False),
    sa.Column("files", pg.JSONB(none_as_null=True), comment="names of the files that are run; null for all"),
    _when("deadline_at"),
    _when("created_at", null=False, now=True),
    _when("started_at"),
    _when("ended_at"),
)
"""Runs of tasks and of groups. A live one that is not active waits for another one of its task, or of its group."""

IS_LIVE = RUN.c.state.in_([sa.literal_column(f"'{state}'") for state in sorted(LIVE)])
sa.Index("run_active", RUN.c.task, unique=True, postgresql_where=RUN.c.active)
"""A task has one active run: the database itself refuses a second one."""
sa.Index("run_due", RUN.c.due_at, postgresql_where=RUN.c.active)
sa.Index("run_live", RUN.c.task, RUN.c.id, postgresql_where=IS_LIVE)
sa.Index("run_queued", RUN.c.task, RUN.c.backfill, RUN.c.id, postgresql_where=sa.and_(IS_LIVE, sa.not_(RUN.c.active)))
sa.Index("run_group", RUN.c.id, postgresql_where=sa.and_(RUN.c.active, RUN.c.mode.is_not(None)))
sa.Index(
    "run_deadline",
    RUN.c.deadline_at,
    postgresql_where=sa.and_(IS_LIVE, sa.not_(RUN.c.overdue), RUN.c.deadline_at.is_not(None)),
)
sa.Index("run_parent", RUN.c.parent, RUN.c.position, postgresql_where=RUN.c.parent.is_not(None))
sa.Index("run_task", RUN.c.task, RUN.c.id)
sa.Index("run_ended", RUN.c.task, RUN.c.ended_at, postgresql_where=RUN.c.ended_at.is_not(None))
FEW = sorted(set(State) - LIVE - {State.COMPLETED})
"""States of runs of which there are few, and which people look for."""
sa.Index(
    "run_state",
    RUN.c.state,
    RUN.c.id,
    postgresql_where=RUN.c.state.in_([sa.literal_column(f"'{state}'") for state in FEW]),
)
"""Only live runs are in the indexes that are searched all the time, so finished ones cost nothing but their place."""

FILE = sa.Table(
    "file",
    METADATA,
    sa.Column("run", sa.BigInteger, sa.ForeignKey(RUN.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    _state(),
    sa.Column("expected", sa.BigInteger),
    sa.Column("received", sa.BigInteger),
    sa.Column("applied", sa.BigInteger),
    sa.Column("rejected", sa.BigInteger),
    sa.Column("digest", sa.Text),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    _when("reported_at", null=False, now=True),
)
"""What the consumer reported of each file."""

ATTEMPT = sa.Table(
    "attempt",
    METADATA,
    sa.Column("run", sa.BigInteger, sa.ForeignKey(RUN.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("fence", sa.BigInteger, primary_key=True),
    sa.Column("node", sa.Text, nullable=False),
    sa.Column("consumer", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    _when("began_at", null=False),
    _when("ended_at", null=False, now=True),
)
"""Each call of a consumer, and what came of it."""

STOP = sa.Table(
    "stop",
    METADATA,
    sa.Column("run", sa.BigInteger, sa.ForeignKey(RUN.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("consumer", sa.Text, comment="the instance that works on it; null if it was not noted yet"),
    sa.Column("fence", sa.BigInteger, nullable=False, comment="of the last call of the run"),
    _when("created_at", null=False, now=True),
    _when("due_at", null=False, now=True),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("reason", sa.Text, nullable=False, server_default="", comment="why the last try failed"),
    _when("told_at"),
    _when("gave_up_at"),
)
"""Runs that the platform has ended by itself: whether their consumers know, who may still work on them."""

IS_UNTOLD = sa.and_(STOP.c.told_at.is_(None), STOP.c.gave_up_at.is_(None))
sa.Index("stop_due", STOP.c.due_at, postgresql_where=IS_UNTOLD)

NODE = sa.Table(
    "node",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("address", sa.Text, nullable=False),
    _when("started_at", null=False, now=True),
    _when("seen_at", null=False, now=True),
    _when("left_at", comment="when it ended in good order"),
)

AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    _when("at", null=False, now=True),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, comment="a task, run N, or alert N"),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
)
sa.Index("audit_subject", AUDIT.c.subject, AUDIT.c.id)

ALERT = sa.Table(
    "alert",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False, comment="overdue, failed, recon_failed, unreachable, no_node"),
    sa.Column("subject", sa.Text, nullable=False, comment="run N, task NAME, or platform"),
    sa.Column("task", sa.Text),
    sa.Column("run", sa.BigInteger),
    sa.Column("text", sa.Text, nullable=False, comment="what was found last"),
    sa.Column("times", sa.Integer, nullable=False, server_default="1", comment="how often its cause was found"),
    _when("raised_at", null=False, now=True),
    _when("seen_at", null=False, now=True, comment="when its cause was found last"),
    _when("resolved_at"),
    sa.Column("resolution", sa.Text, nullable=False, server_default="", comment="why it is resolved"),
    sa.Column("acknowledged_by", sa.Text),
    _when("acknowledged_at"),
    sa.Column("note", sa.Text, nullable=False, server_default="", comment="of who acknowledged it"),
)
"""What a person should see to, or should have."""

IS_OPEN = ALERT.c.resolved_at.is_(None)
sa.Index("alert_open", ALERT.c.kind, ALERT.c.subject, unique=True, postgresql_where=IS_OPEN)
"""Of one kind and subject one alert is open: the database itself refuses a second one."""

CHANNEL = sa.Table(
    "channel",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("kinds", pg.JSONB(none_as_null=True), comment="the kinds of alerts that it is told; null for all"),
    _when("seen_at", null=False, now=True, comment="when a node last had it in its settings"),
)
"""Where alerts are sent, as the settings of the nodes say; how to send there is in the settings alone."""

NOTICE = sa.Table(
    "notice",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("uid", sa.Uuid, nullable=False, server_default=sa.func.gen_random_uuid(), comment="for who receives it"),
    sa.Column("alert", sa.BigInteger, sa.ForeignKey(ALERT.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False, comment="raised or resolved"),
    _when("created_at", null=False, now=True),
    _when("due_at", null=False, now=True),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("error", sa.Text, nullable=False, server_default="", comment="of the last try"),
    _when("sent_at"),
    _when("gave_up_at"),
    sa.UniqueConstraint("alert", "channel", "event", name="notice_once"),
)
"""What is still to be sent, and what was: written together with what it tells."""

IS_UNSENT = sa.and_(NOTICE.c.sent_at.is_(None), NOTICE.c.gave_up_at.is_(None))
sa.Index("notice_due", NOTICE.c.due_at, postgresql_where=IS_UNSENT)

TABLES = Schema(METADATA, "platform", "snk batch init")
