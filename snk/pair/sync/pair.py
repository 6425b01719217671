"""The pair that SNK keeps equal."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from snk.db.server import Server


@dataclass(frozen=True, slots=True)
class Pair:
    """Two databases, and the tables to keep equal in both.

    Attributes:
        tables: their names in the settings; full names of those that only a pattern matches.
        left_out: the tables that only a pattern matches and that cannot be synced, with the reason.
    """

    first: Server
    second: Server
    tables: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def notes_name(self, table: str, holder: Server) -> str:
        """Return the Redis key for the dedup entries about ``holder``'s rows of a table; pairs may share one Redis."""
        pair = hashlib.sha256(f"{self.first.address} {self.second.address}".encode()).hexdigest()[:16]
        return f"{pair}:{table}:{holder.label}"
