"""How much the flows of a daemon may take at once."""

from dataclasses import dataclass, replace

MOST_FULL_TABLES = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """How large batches are, how long a quiet flow sleeps, and how many notes of echoes a side of a table keeps."""

    batch_rows: int = 10000
    batch_bytes: int = 8 * 2**20
    poll_max_ms: float = 20.0
    notes: int = 200_000

    def shared_by(self, tables: int) -> "Limits":
        """The limits of each of so many tables; all together hold no more in memory than a few would."""
        share = min(1.0, MOST_FULL_TABLES / tables)
        rows, size, notes = (max(1, int(most * share)) for most in (self.batch_rows, self.batch_bytes, self.notes))
        return replace(self, batch_rows=rows, batch_bytes=size, notes=notes)
