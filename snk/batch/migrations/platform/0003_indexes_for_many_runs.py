"""Indexes for many runs and many tasks, and what the fence of a run is."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
SCHEMA = "snk_batch"
LIVE = "state IN ('RUNNING', 'WAITING')"


def upgrade() -> None:
    """Create them."""
    op.drop_index("run_queued", "run", schema=SCHEMA)
    _index("run_queued", "run", ["task", "backfill", "id"], f"{LIVE} AND NOT active")
    _index("run_live", "run", ["task", "id"], LIVE)
    _index("run_group", "run", ["id"], "active AND mode IS NOT NULL")
    _index("run_ended", "run", ["task", "ended_at"], "ended_at IS NOT NULL")
    _index("run_state", "run", ["state", "id"], "state IN ('CANCELLED', 'FAILED', 'RECON_FAILED')")
    _index("task_message", "task", ["message"], "message != ''")
    op.alter_column(
        "run",
        "fence",
        existing_type=sa.BigInteger(),
        existing_nullable=False,
        existing_server_default="0",
        comment="grows whenever it is taken",
        existing_comment="how often it was taken",
        schema=SCHEMA,
    )


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, unique=False, schema=SCHEMA, postgresql_where=sa.text(where))
