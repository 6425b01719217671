"""One direction of one table."""

from dataclasses import dataclass

from snk.db.server import Server


@dataclass(frozen=True, slots=True)
class Route:
    """A table, and the direction in which it is synced.

    Attributes:
        table: its name in the settings.
    """

    source: Server
    destination: Server
    table: str

    @property
    def name(self) -> str:
        """The name of the flow, such as ``records first→second``."""
        return f"{self.table} {self.way}"

    @property
    def way(self) -> str:
        """The direction, such as ``first→second``."""
        return f"{self.source.label}→{self.destination.label}"

    @property
    def labels(self) -> dict[str, str]:
        """The route as logs, status and metrics name it."""
        return {"table": self.table, "source": self.source.label, "destination": self.destination.label}
