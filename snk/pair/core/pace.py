"""How long to wait between two polls of a table, and how many rows to read at once."""

from dataclasses import dataclass, replace

MOST_GATHER_MS = 15.0
GATHER_MS_PER_ROW = 0.02
GATHER_MEMORY = 0.8
SMALLER = 8
HELD_BATCHES = 16
MOST_REST_SECONDS = 1.0
QUIET_MS = 3_600_000.0


@dataclass(frozen=True, slots=True)
class PollPace:
    """Polls immediately under load, every ``least_ms`` shortly after it, and less and less often on an idle table.

    When a row arrives every few milliseconds, it must not wait for a long interval to end. So the interval stays short
    for ``attentive_ms`` after the last row, and grows only then.

    Attributes:
        most_ms: the longest interval.
        quiet_ms: how long no row has arrived.
    """

    most_ms: float
    least_ms: float = 1.5
    attentive_ms: float = 500.0
    growth: float = 0.05
    quiet_ms: float = 0.0

    @classmethod
    def asleep_at_first(cls, most_ms: float) -> "PollPace":
        """The pace of a flow that begins: most tables are idle, and hundreds of flows may begin at once."""
        return cls(most_ms, quiet_ms=QUIET_MS)

    def after(self, *, moved: bool) -> "PollPace":
        """The pace after a poll; ``moved`` says whether it returned rows."""
        if moved:
            return replace(self, quiet_ms=0.0)
        return replace(self, quiet_ms=self.quiet_ms + self.wait_ms)

    @property
    def asleep(self) -> bool:
        """Whether the interval has reached its maximum because no rows arrived."""
        return self.wait_ms >= self.most_ms

    @property
    def wait_ms(self) -> float:
        """Milliseconds to wait before the next poll."""
        sleepy = max(0.0, self.quiet_ms - self.attentive_ms)
        return min(self.most_ms, self.least_ms + sleepy * self.growth)

    def rest_seconds(self, took_seconds: float) -> float:
        """Seconds to wait after a poll that took ``took_seconds`` and found nothing.

        Polling is expensive while a large transaction is open, so polls take at most half of the time. The rest is
        limited, because a poll delayed by the network or by a suspended machine says nothing about the next one.
        """
        return max(self.wait_ms / 1000, min(took_seconds, MOST_REST_SECONDS))


@dataclass(frozen=True, slots=True)
class Gather:
    """How long to let rows accumulate before the next read.

    Under load, a batch costs more than its rows, so reading several transactions at once is cheaper. A single row does
    not wait. Neither does a backlog, which fills every batch anyway.

    Attributes:
        rows: how many rows recent reads returned.
    """

    rows: float = 0.0

    def after(self, rows: int) -> "Gather":
        """The value after a read of ``rows`` rows. One empty read does not yet mean that the load has ended."""
        return Gather(max(rows, self.rows * GATHER_MEMORY))

    @property
    def wait_ms(self) -> float:
        """Milliseconds to wait."""
        return min(MOST_GATHER_MS, self.rows * GATHER_MS_PER_ROW)


@dataclass(frozen=True, slots=True)
class BatchSize:
    """Maximum size of a batch: it shrinks after a batch that was too large, and grows again after successful batches.

    Attributes:
        most_rows: maximum number of rows that the settings allow.
        most_bytes: maximum number of bytes that the settings allow.
        rows: current maximum number of rows.
        held: how many consecutive batches of this size succeeded.
    """

    most_rows: int
    most_bytes: int
    rows: int
    held: int = 0

    @classmethod
    def of(cls, most_rows: int, most_bytes: int) -> "BatchSize":
        """The size that the settings allow."""
        return cls(most_rows, most_bytes, most_rows)

    @property
    def bytes(self) -> int:
        """Current maximum number of bytes: the same fraction of ``most_bytes`` as ``rows`` is of ``most_rows``."""
        return max(1, self.most_bytes * self.rows // self.most_rows)

    def too_much(self) -> "BatchSize":
        """The size after a batch that a server could not process, or not in time."""
        return replace(self, rows=max(1, self.rows // SMALLER), held=0)

    def went_well(self) -> "BatchSize":
        """The size after a full batch that succeeded. Only a full batch shows that a larger one may succeed."""
        if self.rows >= self.most_rows:
            return self
        if self.held + 1 < HELD_BATCHES:
            return replace(self, held=self.held + 1)
        return replace(self, rows=min(self.most_rows, self.rows * 2), held=0)
