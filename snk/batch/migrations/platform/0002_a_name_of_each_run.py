"""Each run has a name unlike all others, also those of other platforms, so that consumers do not mistake it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
SCHEMA = "snk_batch"


def upgrade() -> None:
    """Give one to every run."""
    uid = sa.Column("uid", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False)
    uid.comment = "unlike that of every other run of any platform"
    op.add_column("run", uid, schema=SCHEMA)
