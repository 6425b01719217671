"""A check that a table is still the one that was looked up when a connection was opened."""

from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.server import Server
from snk.errors import TableChanged
from snk.pair.catalog import lookup
from snk.pair.catalog.shape import Shape


class TableCheck:
    """Compares a table with its shape, over one connection."""

    def __init__(self, server: Server, connection: AsyncConnection, shape: Shape) -> None:
        self._server = server
        self._connection = connection
        self._shape = shape

    @property
    def storage_fingerprint(self) -> str:
        """`Shape.storage_fingerprint` when the connection was opened."""
        return self._shape.storage_fingerprint

    async def see_unchanged(self) -> None:
        """Check that the table has not changed since the connection was opened.

        Raises:
            TableChanged: the table has changed.
        """
        async with self._server.answering(self._connection):
            definition = await lookup.definition_fingerprint(self._connection, self._shape)
        if definition != self._shape.definition_fingerprint:
            raise changed(self._server, self._shape)


def changed(server: Server, shape: Shape) -> TableChanged:
    """The error to raise if a table has changed."""
    return TableChanged(f"{server.label}: {shape.full_name} has changed; looking it up again")
