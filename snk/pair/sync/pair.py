"""The pair that SNK keeps equal."""

import hashlib
from dataclasses import dataclass

from snk.db.server import Server


@dataclass(frozen=True, slots=True)
class Pair:
    """Two databases, and the tables to keep equal in both."""

    first: Server
    second: Server
    tables: tuple[str, ...]

    def notes_name(self, table: str, holder: Server) -> str:
        """Return the Redis key for the dedup entries about ``holder``'s rows of a table; pairs may share one Redis."""
        pair = hashlib.sha256(f"{self.first.address} {self.second.address}".encode()).hexdigest()[:16]
        return f"{pair}:{table}:{holder.label}"
