"""One direction of one table."""

from dataclasses import dataclass

from snk.db.server import Server


@dataclass(frozen=True, slots=True)
class Route:
    """From a source to a destination.

    Attributes:
        table: by its name in the settings.
    """

    source: Server
    destination: Server
    table: str

    @property
    def name(self) -> str:
        """Such as ``records first→second``."""
        return f"{self.table} {self.source.label}→{self.destination.label}"

    @property
    def labels(self) -> dict[str, str]:
        """As logs, status and metrics name it."""
        return {"table": self.table, "source": self.source.label, "destination": self.destination.label}
