"""When a run was called last, and reports whose versions never come again.

Runs from before migration 0002 have no known uid, so no call can refer to them. Those that have not ended are cancelled
here; their platform has begun them again under their uid.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
SCHEMA = "snk_batch_consumer"
END_FILES = """
UPDATE snk_batch_consumer.file SET state = 'CANCELLED', attempt = file.attempt + 1,
    reason = 'it was noted before runs had names, and begun again under its own'
FROM snk_batch_consumer.run
WHERE run.id = file.run AND file.state IN ('WAITING', 'RUNNING') AND run.state IN ('WAITING', 'RUNNING')
    AND callback ~ ('/v1/runs/' || number || '/callback$')
"""
"""Since runs have names, the address for reports ends with the name."""
END_RUNS = """
UPDATE snk_batch_consumer.run SET state = 'CANCELLED', attempt = attempt + 1, ended_at = clock_timestamp(),
    working_until = NULL, holder = NULL, reason = 'it was noted before runs had names, and begun again under its own'
WHERE state IN ('WAITING', 'RUNNING') AND callback ~ ('/v1/runs/' || number || '/callback$')
"""


def upgrade() -> None:
    """Add the column, and end runs without a name."""
    now = sa.text("clock_timestamp()")
    called = sa.Column("called_at", sa.DateTime(timezone=True), server_default=now, nullable=False)
    op.add_column("run", called, schema=SCHEMA)
    comment = "the transaction that put it here"
    op.alter_column("outbox", "version", server_default=None, comment=comment, schema=SCHEMA)
    op.execute(END_FILES)
    op.execute(END_RUNS)
