"""The migrations make the tables that the code expects."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from snk.batch.consumer import tables as consumer
from snk.batch.platform import tables as platform
from snk.batch.schema import Schema
from snk.db.server import Server
from snk.pair.servers import EmbeddedPair
from tests.kit.serve import fresh_database


@pytest.mark.parametrize("schema", [platform.TABLES, consumer.TABLES], ids=["platform", "consumer"])
async def test_the_migrations_make_the_tables_of_the_code(schema: Schema, servers: EmbeddedPair) -> None:
    def differences(connection: sa.Connection) -> object:
        options = {
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name == schema.name,
            "version_table_schema": schema.name,
            "compare_type": True,
        }
        return compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata)

    with fresh_database(servers) as dsn:
        server = Server("database", dsn)
        assert await schema.upgrade(server)
        assert not await schema.upgrade(server)
        async with server.connect() as connection:
            assert await connection.run_sync(differences) == []
