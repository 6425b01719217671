"""Limits on what the flows of a daemon may use."""

from dataclasses import dataclass, replace

from snk.pair.core.budget import CONNECTIONS

MOST_FULL_TABLES = 4
LEAST_ROWS = 1500
LEAST_BYTES = 2**18
OF_THEIR_OWN = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """What the flows of a daemon may use.

    Attributes:
        batch_rows: rows of a batch.
        batch_bytes: bytes of a batch.
        poll_max_ms: maximum poll interval of an idle flow.
        notes: dedup entries per side of a table.
        connections: to each server.
    """

    batch_rows: int = 10000
    batch_bytes: int = 8 * 2**20
    poll_max_ms: float = 20.0
    notes: int = 200_000
    connections: int = CONNECTIONS

    @property
    def lent(self) -> int:
        """Connections to each server that the flows share; one each remains for leases, watches, sweeps and probes."""
        return self.connections - OF_THEIR_OWN

    def shared_by(self, tables: int) -> "Limits":
        """The limits of each table: all together hold little more than `MOST_FULL_TABLES` full ones.

        A share is never too small for batches to be worth their cost.
        """
        share = min(1.0, MOST_FULL_TABLES / max(1, tables))
        rows, size = max(LEAST_ROWS, int(self.batch_rows * share)), max(LEAST_BYTES, int(self.batch_bytes * share))
        return replace(self, batch_rows=min(rows, self.batch_rows), batch_bytes=min(size, self.batch_bytes))
