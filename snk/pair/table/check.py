"""A check that a table is still the one that was looked up when a session began."""

from snk.db.access import Access
from snk.db.server import Server
from snk.errors import TableChanged
from snk.pair.catalog import lookup
from snk.pair.catalog.shape import Shape


class TableCheck:
    """Compares a table with its shape, in one session.

    Attributes:
        shape: the table when the session began.
    """

    def __init__(self, access: Access, shape: Shape) -> None:
        self._access = access
        self.shape = shape

    async def see_unchanged(self) -> None:
        """Check that the table has not changed since the session began.

        Raises:
            TableChanged: the table has changed.
        """
        async with self._access.using() as connection:
            (definition,) = await lookup.definition_fingerprints(connection, [self.shape])
        if definition != self.shape.definition_fingerprint:
            raise changed(self._access.server, self.shape)


def changed(server: Server, shape: Shape) -> TableChanged:
    """The error to raise if a table has changed."""
    return TableChanged(f"{server.label}: {shape.full_name} has changed; looking it up again")
