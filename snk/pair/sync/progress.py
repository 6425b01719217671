"""The state of a flow that the daemon's decisions depend on. `snk.pair.sync.meter` only displays it."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from snk.pair.core.report import FlowState
from snk.pair.sync.watch import Watch


class Progress:
    """The state of one flow, over all its sessions.

    Attributes:
        state: as in `FlowStatus`.
        leader: the name of the daemon that works on the table, or an empty string if none does.
        awaits: the tables that rows in hand refer to, while these rows wait for the flows of those tables.
    """

    def __init__(self) -> None:
        self.state: FlowState = "starting"
        self.leader = ""
        self.awaits: tuple[str, ...] = ()
        self._stepped_at = self._caught_up_at = time.monotonic()
        self._watch: Watch | None = None

    @property
    def lag_seconds(self) -> float:
        """Upper bound on the lag: everything visible at the source this long ago is in the destination."""
        return self._watch.silent_seconds if self._watch else max(0.0, time.monotonic() - self._caught_up_at)

    @property
    def idle_seconds(self) -> float:
        """Seconds since the flow last finished or attempted a step; 0 while it waits for other flows."""
        if self._watch:
            return self._watch.silent_seconds
        return 0.0 if self.awaits else time.monotonic() - self._stepped_at

    def stepped(self) -> None:
        """Record that a step finished or failed."""
        self._stepped_at = time.monotonic()

    def caught_up(self, asked: float) -> None:
        """Record that everything visible at the source at this monotonic time is delivered."""
        self._caught_up_at = asked

    def stood_by(self) -> None:
        """Restart the clocks: another daemon leads and reports the lag; ours starts when this daemon takes over."""
        self._stepped_at = self._caught_up_at = time.monotonic()

    @contextmanager
    def watched_by(self, watch: Watch) -> Iterator[None]:
        """Inside the block, the flow has nothing to do, as long as the watch over its source says so."""
        self._watch = watch
        try:
            yield
        finally:
            self._watch = None
            self._stepped_at = self._caught_up_at = time.monotonic() - watch.silent_seconds

    @contextmanager
    def awaiting(self, tables: Iterable[str]) -> Iterator[None]:
        """Inside the block, rows wait for the rows that they refer to, which other flows deliver."""
        self.awaits = tuple(sorted(tables))
        try:
            yield
        finally:
            self.awaits = ()
            self.stepped()
