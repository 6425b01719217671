"""How long to wait between two polls of a table, and how much to take at once."""

from dataclasses import dataclass, replace

MOST_GATHER_MS = 15.0
GATHER_MS_PER_ROW = 0.02
GATHER_MEMORY = 0.8
SMALLER = 8
HELD_BATCHES = 16
MOST_REST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PollPace:
    """Polls at once under load, every ``least_ms`` shortly after, and ever more rarely on a quiet table.

    A row that arrives every few milliseconds must not wait for a poller that has gone to sleep in between, so the
    interval stays short for ``attentive_ms`` after the last row before it grows.

    Attributes:
        most_ms: the longest interval.
        quiet_ms: for how long nothing has come.
    """

    most_ms: float
    least_ms: float = 1.5
    attentive_ms: float = 500.0
    growth: float = 0.05
    quiet_ms: float = 0.0

    def after(self, *, moved: bool) -> "PollPace":
        """The pace after a poll that did, or did not, bring rows."""
        if moved:
            return replace(self, quiet_ms=0.0)
        return replace(self, quiet_ms=self.quiet_ms + self.wait_ms)

    @property
    def asleep(self) -> bool:
        """Nothing has come for so long that the interval is at its longest."""
        return self.wait_ms >= self.most_ms

    @property
    def wait_ms(self) -> float:
        """Milliseconds to wait before the next poll."""
        sleepy = max(0.0, self.quiet_ms - self.attentive_ms)
        return min(self.most_ms, self.least_ms + sleepy * self.growth)

    def rest_seconds(self, took_seconds: float) -> float:
        """Seconds to wait after a poll that took so long and found nothing.

        A look is dear beside a large open transaction, so it takes no more than half of the time. But one that was
        held up, by a network or a machine that slept, says nothing of the next one.
        """
        return max(self.wait_ms / 1000, min(took_seconds, MOST_REST_SECONDS))


@dataclass(frozen=True, slots=True)
class Gather:
    """How long to let rows gather before the next read.

    Under load a batch costs more than its rows, so it pays to take several transactions at once. A lone row is not
    made to wait, and neither is a backlog, which fills every batch anyway.

    Attributes:
        rows: what a read brings of late.
    """

    rows: float = 0.0

    def after(self, rows: int) -> "Gather":
        """After a read of so many rows. One that finds none does not yet mean that the load is over."""
        return Gather(max(rows, self.rows * GATHER_MEMORY))

    @property
    def wait_ms(self) -> float:
        """Milliseconds to wait."""
        return min(MOST_GATHER_MS, self.rows * GATHER_MS_PER_ROW)


@dataclass(frozen=True, slots=True)
class BatchSize:
    """How much to take at once: less after a batch that was too much, and more again after those that were not.

    Attributes:
        most_rows: as many rows as the settings allow.
        most_bytes: as many bytes as the settings allow.
        rows: as many rows as may be taken now.
        held: how many batches of this size went well, one after the other.
    """

    most_rows: int
    most_bytes: int
    rows: int
    held: int = 0

    @classmethod
    def of(cls, most_rows: int, most_bytes: int) -> "BatchSize":
        """As much as the settings allow."""
        return cls(most_rows, most_bytes, most_rows)

    @property
    def bytes(self) -> int:
        """As many bytes as may be taken now: as large a part of the most as of the rows."""
        return max(1, self.most_bytes * self.rows // self.most_rows)

    def too_much(self) -> "BatchSize":
        """After a batch that a server could not hold, or not in time."""
        return replace(self, rows=max(1, self.rows // SMALLER), held=0)

    def went_well(self) -> "BatchSize":
        """After a full batch. Only a full one tells that there is room for more."""
        if self.rows >= self.most_rows:
            return self
        if self.held + 1 < HELD_BATCHES:
            return replace(self, held=self.held + 1)
        return replace(self, rows=min(self.most_rows, self.rows * 2), held=0)
