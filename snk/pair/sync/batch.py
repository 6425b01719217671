"""What one step of a session has read and not yet written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from snk.pair.core.tail import Tail
from snk.pair.table.rejects import Refusal
from snk.pair.table.synced import Rows

Unread = Mapping[str, Refusal]
"""Why existing rows cannot be read, by uuid."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step read: the rows still to be delivered, and the mark that is true once they are.

    Attributes:
        asked: monotonic time when the read began; everything visible then is in this batch or an earlier one. None for
            a full batch, because more rows were visible.
        read_at: monotonic time when the read ended: nothing in this batch became visible later.
        moved: the read returned rows, possibly only echoes, or there is more to read.
        full: the batch was cut off at the batch size, in rows or in bytes, so more rows may be waiting.
        again: uuids that were set aside in the destination and are retried with this batch.
        unread: why the source cannot return some existing rows, by uuid.
        echoes: how many rows were left out because SNK wrote them.
        made: for rows that triggers made from delivered rows, the generation (`snk.pair.core.origins`), by uuid.
    """

    rows: Rows
    tail: Tail
    safe: int
    asked: float | None
    read_at: float
    moved: bool
    full: bool
    again: Sequence[str] = ()
    unread: Unread = field(default_factory=dict)
    echoes: int = 0
    made: Mapping[str, int] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write except the mark."""
        return not (self.rows or self.again or self.unread)

    def of_generation(self, wanted: Callable[[int], bool]) -> Rows:
        """The rows whose generation satisfies the predicate."""
        if not self.made:
            return self.rows if wanted(0) else Rows()
        return self.rows.where([wanted(self.made.get(uuid, 0)) for uuid in self.rows.uuids])
