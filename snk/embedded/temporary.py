"""A database server for a demo, in a temporary folder."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from snk.db.server import Server
from snk.embedded.postgres import PostgresServer
from snk.embedded.state import held
from snk.signals import end_undisturbed

PASSWORD = "demo"  # noqa: S105 - of a server that is gone when the command ends
OPTIONS = {"fsync": "off"}
"""It is not the database server that fails in a demo, so nobody needs to wait for its disk."""


@contextmanager
def database_server(prefix: str) -> Iterator[tuple[Path, PostgresServer]]:
    """A folder and a database server in it, which are gone at the end of the block.

    Args:
        prefix: of the folder's name.
    """
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)  # the server's account enters it, too
        with held(Path(made)) as folder:
            database = PostgresServer(folder / "database", folder, user="postgres", password=PASSWORD, options=OPTIONS)
            try:
                database.start()
                yield folder, database
            finally:
                end_undisturbed()
                database.stop()


async def create_databases(database: PostgresServer, names: Iterable[str]) -> None:
    """Create empty databases."""
    async with Server("database", database.dsn).engine.connect() as connection:
        for name in names:
            await connection.execute(sa.DDL(f"CREATE DATABASE {name}"))  # type: ignore[no-untyped-call]


def url_of(database: PostgresServer, name: str) -> str:
    """The URL of one of its databases."""
    return f"{database.dsn.removesuffix('postgres')}{name}?sslmode=disable"
