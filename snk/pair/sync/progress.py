"""Where a flow stands: what the daemon decides by. `snk.pair.sync.meter` only shows it."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from snk.pair.core.report import FlowState


class Progress:
    """The state of one flow, over all its sessions.

    Attributes:
        state: as in `FlowStatus`.
        leader: the daemon that works on the table: its name, or an empty string where none does.
        awaits: the tables to which rows in hand refer, while they wait for the flows of these.
    """

    def __init__(self) -> None:
        self.state: FlowState = "starting"
        self.leader = ""
        self.awaits: tuple[str, ...] = ()
        self._stepped_at = self._caught_up_at = time.monotonic()
        self._watched_until = 0.0

    @property
    def lag_seconds(self) -> float:
        """Everything that was visible at the source so long ago is in the destination."""
        now = time.monotonic()
        return 0.0 if now < self._watched_until else max(0.0, now - self._caught_up_at)

    @property
    def idle_seconds(self) -> float:
        """Since the flow last finished a step, or tried to; 0 while it waits for other flows."""
        return 0.0 if self.awaits else time.monotonic() - self._stepped_at

    def stepped(self) -> None:
        """A step was finished, or failed."""
        self._stepped_at = time.monotonic()

    def caught_up(self, asked: float) -> None:
        """All that was visible at the source at this monotonic time is delivered."""
        self._caught_up_at = asked

    def stood_by(self) -> None:
        """Another daemon leads, and its lag counts: this one's begins when it takes over, as at a start."""
        self._stepped_at = self._caught_up_at = time.monotonic()

    @contextmanager
    def watched_until(self, until: float) -> Iterator[None]:
        """Inside the block the source's server watches for rows until so: as long as it is silent, there are none."""
        self._watched_until = until
        try:
            yield
        finally:
            self._watched_until = 0.0

    @contextmanager
    def awaiting(self, tables: Iterable[str]) -> Iterator[None]:
        """Inside the block rows wait for those to which they refer, which other flows are bringing."""
        self.awaits = tuple(sorted(tables))
        try:
            yield
        finally:
            self.awaits = ()
            self.stepped()
