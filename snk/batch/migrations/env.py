"""What Alembic runs: the migrations, on the connection that `snk.batch.schema` gives it, or as a text."""

from typing import Any

from alembic import context
from sqlalchemy.schema import CreateSchema

given = context.config.attributes
schema = given["metadata"].schema
options: dict[str, Any] = {
    "target_metadata": given["metadata"],
    "version_table_schema": schema,
    "include_schemas": True,
    "include_name": lambda name, kind, _: kind != "schema" or name == schema,
}
if context.is_offline_mode():
    context.configure(dialect_name="postgresql", **options)
else:
    context.configure(connection=given["connection"], **options)
    given["connection"].execute(CreateSchema(schema, if_not_exists=True))
with context.begin_transaction():
    if context.is_offline_mode():
        context.execute(CreateSchema(schema, if_not_exists=True))
    context.run_migrations()
