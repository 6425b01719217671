"""Limits on what the flows of a daemon may use."""

from dataclasses import dataclass, replace

MOST_FULL_TABLES = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """Batch size, maximum poll interval of an idle flow, and number of dedup entries per side of a table."""

    batch_rows: int = 10000
    batch_bytes: int = 8 * 2**20
    poll_max_ms: float = 20.0
    notes: int = 200_000

    def shared_by(self, tables: int) -> "Limits":
        """Return the limits per table; all together hold no more in memory than `MOST_FULL_TABLES` full ones."""
        share = min(1.0, MOST_FULL_TABLES / tables)
        rows, size, notes = (max(1, int(most * share)) for most in (self.batch_rows, self.batch_bytes, self.notes))
        return replace(self, batch_rows=rows, batch_bytes=size, notes=notes)
