"""Creates tables of the batch in a schema of their own, and brings those of an older version up to date (Alembic)."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.locks import lock_in_transaction
from snk.db.server import Server
from snk.errors import DatabaseUnfit

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "head"


@dataclass(frozen=True)
class Schema:
    """The tables of the platform, or of a consumer.

    Attributes:
        metadata: the tables.
        part: whose they are: the name of a folder with their migrations.
        maker: the command that creates them.
    """

    metadata: sa.MetaData
    part: str
    maker: str

    @property
    def name(self) -> str:
        """The name of the schema."""
        assert self.metadata.schema  # noqa: S101 - all of ours have one
        return self.metadata.schema

    @property
    def newest(self) -> str | None:
        """The version of the tables that this version of SNK makes."""
        return self._scripts().get_current_head()

    async def upgrade(self, server: Server) -> bool:
        """Create the tables, or bring them up to date; return whether anything was missing.

        Raises:
            DatabaseUnfit: the role may not create them.
        """
        async with server.begin() as connection:
            await lock_in_transaction(connection, self.maker)
            if await self.revision(connection) == self.newest:
                return False
            try:
                await connection.run_sync(lambda sync: command.upgrade(self._config(connection=sync), HEAD))
            except ProgrammingError as error:
                hint = f"Grant it CREATE on the database, or have its owner run `{self.maker}`"
                raise DatabaseUnfit(f"{server.address}: {self.name} cannot be created", hint=hint) from error
            return True

    async def check(self, connection: AsyncConnection, address: str) -> None:
        """See that the tables are those of this version.

        Raises:
            DatabaseUnfit: they are not.
        """
        found = await self.revision(connection)
        if found is None:
            raise DatabaseUnfit(f"{address}: there is no schema {self.name}", hint=f"Run `{self.maker}`")
        if found != self.newest:
            known = any(each.revision == found for each in self._scripts().walk_revisions())
            hint = f"Run `{self.maker}`" if known else "Run the version of SNK that made them, or a newer one"
            raise DatabaseUnfit(f"{address}: its tables are of version {found}, this is {self.newest}", hint=hint)

    async def revision(self, connection: AsyncConnection) -> str | None:
        """The version of the tables; None if there are none."""

        def asked(sync: sa.Connection) -> str | None:
            return MigrationContext.configure(sync, opts={"version_table_schema": self.name}).get_current_revision()

        return await connection.run_sync(asked)

    def printed(self) -> str:
        """The statements that create the tables, to be run by hand."""
        made = io.StringIO()
        command.upgrade(self._config(output_buffer=made), HEAD, sql=True)
        return made.getvalue()

    def _scripts(self) -> ScriptDirectory:
        return ScriptDirectory.from_config(self._config())

    def _config(self, *, output_buffer: io.StringIO | None = None, **attributes: Any) -> Config:
        config = Config(output_buffer=output_buffer, attributes={"metadata": self.metadata, **attributes})
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("path_separator", "os")
        config.set_main_option("version_locations", str(MIGRATIONS / self.part))
        return config
