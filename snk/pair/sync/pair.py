"""What is kept equal."""

import hashlib
from dataclasses import dataclass

from snk.db.server import Server


@dataclass(frozen=True, slots=True)
class Pair:
    """Two databases, and the tables that they have in common."""

    first: Server
    second: Server
    tables: tuple[str, ...]

    def notes_name(self, table: str, holder: Server) -> str:
        """What the notes about what ``holder`` has of a table are called in Redis: several pairs may share one."""
        pair = hashlib.sha256(f"{self.first.address} {self.second.address}".encode()).hexdigest()[:16]
        return f"{pair}:{table}:{holder.label}"
