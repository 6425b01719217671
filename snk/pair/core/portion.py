"""How many rows to request, so that no batch exceeds its limit in bytes."""

from dataclasses import dataclass, replace

GROWTH = 4  # grow by a quarter at a time, so that a wide row is remembered for a while
NO_BOUND = 2**62


@dataclass(frozen=True, slots=True)
class Portion:
    """How much one read may return.

    Summing up widths in the server until a limit is reached makes a read half again as slow. Instead, each row may use
    an equal share of the bytes. A read that meets a wider row omits its values and is repeated for fewer rows, each
    with a larger share. A single row may have any width, so reading always makes progress.

    Attributes:
        most_rows: maximum number of rows in one batch.
        most_bytes: maximum number of bytes in one batch, in columns without a fixed width; a single row may exceed it.
        rows: how many rows to request in the next read.
    """

    most_rows: int
    most_bytes: int
    rows: int

    @classmethod
    def of(cls, most_rows: int, most_bytes: int) -> "Portion":
        """The first portion, before anything was read."""
        return cls(most_rows, most_bytes, most_rows)

    def bounded(self, most_rows: int, most_bytes: int) -> "Portion":
        """The portion with other limits."""
        return Portion(most_rows, most_bytes, min(self.rows, most_rows))

    @property
    def widest(self) -> int:
        """How many bytes one row may use."""
        return self.most_bytes // self.rows if self.rows > 1 else NO_BOUND

    def after(self, widest: int | None) -> "Portion":
        """The portion after a read whose widest row, returned or not, had ``widest`` bytes; None if it found no row.

        It shrinks at once and grows slowly: wide rows rarely come alone, and each unexpected one costs another read.
        """
        if widest is None:
            return self
        fitting = self.most_bytes // max(1, widest)
        return replace(self, rows=max(1, min(self.most_rows, self.rows + self.rows // GROWTH + 1, fitting)))
