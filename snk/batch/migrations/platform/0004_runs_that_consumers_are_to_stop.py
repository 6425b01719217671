"""Runs that the platform has ended, and whether their consumers know."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
SCHEMA = "snk_batch"


def upgrade() -> None:
    """Create the table, empty: nobody is told of runs that ended before."""
    now = sa.text("clock_timestamp()")
    working = "the instance that works on it; null if it was not noted yet"
    op.create_table(
        "stop",
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=True, comment=working),
        sa.Column("fence", sa.BigInteger(), nullable=False, comment="of the last call of the run"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False, comment="why the last try failed"),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("gave_up_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["run"], [f"{SCHEMA}.run.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run"),
        schema=SCHEMA,
    )
    untold = sa.text("told_at IS NULL AND gave_up_at IS NULL")
    op.create_index("stop_due", "stop", ["due_at"], unique=False, schema=SCHEMA, postgresql_where=untold)
