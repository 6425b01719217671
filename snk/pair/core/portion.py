"""How many rows to ask for, so that no batch holds more than so many bytes."""

from dataclasses import dataclass, replace

GROWTH = 4  # a wide row is remembered: by a quarter more at a time
NO_BOUND = 2**62


@dataclass(frozen=True, slots=True)
class Portion:
    """How much one read may bring.

    To add up widths in the server until so many bytes are full costs a read half its time again. So every row may have
    its share of the bytes, and no more. A read that finds a wider one leaves the values where they are, and is
    repeated for fewer rows, each with a larger share. One row alone may be of any width, so reading always goes on.

    Attributes:
        most_rows: in one batch.
        most_bytes: in one batch, of the columns that have no fixed width; a single row may be more.
        rows: to ask for in the next read.
    """

    most_rows: int
    most_bytes: int
    rows: int

    @classmethod
    def of(cls, most_rows: int, most_bytes: int) -> "Portion":
        """A first one, where nothing was read yet."""
        return cls(most_rows, most_bytes, most_rows)

    def bounded(self, most_rows: int, most_bytes: int) -> "Portion":
        """The same with other bounds."""
        return Portion(most_rows, most_bytes, min(self.rows, most_rows))

    @property
    def widest(self) -> int:
        """The bytes that one row may have."""
        return self.most_bytes // self.rows if self.rows > 1 else NO_BOUND

    def after(self, widest: int | None) -> "Portion":
        """After a read whose widest row, taken or not, had so many bytes; None where there was none.

        It shrinks at once and grows slowly, for wide rows seldom come alone, and each that is met anew costs a read.
        """
        if widest is None:
            return self
        fitting = self.most_bytes // max(1, widest)
        return replace(self, rows=max(1, min(self.most_rows, self.rows + self.rows // GROWTH + 1, fitting)))
