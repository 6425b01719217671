"""Runs of several platforms: each has a name unlike all others.

A run that was noted before is not known by its name. If it has not ended, it is noted once more, and its files are
loaded again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
SCHEMA = "snk_batch_consumer"


def upgrade() -> None:
    """Keep the platform's number, and count anew."""
    op.add_column("run", sa.Column("number", sa.BigInteger(), comment="the platform's number"), schema=SCHEMA)
    op.execute("UPDATE snk_batch_consumer.run SET number = id")
    op.alter_column("run", "number", nullable=False, schema=SCHEMA)
    uid = sa.Column("uid", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False)
    uid.comment = "the platform's name for it, unlike all others"
    op.add_column("run", uid, schema=SCHEMA)
    op.alter_column("run", "uid", server_default=None, schema=SCHEMA)
    op.create_unique_constraint(None, "run", ["uid"], schema=SCHEMA)
    op.alter_column("run", "id", comment=None, schema=SCHEMA)
    op.execute("ALTER TABLE snk_batch_consumer.run ALTER id ADD GENERATED ALWAYS AS IDENTITY")
    op.execute(
        "SELECT setval(pg_get_serial_sequence('snk_batch_consumer.run', 'id'), coalesce(max(id), 0) + 1, false)"
        " FROM snk_batch_consumer.run"
    )
