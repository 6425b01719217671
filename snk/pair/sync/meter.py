"""Counts what one flow does, for status and metrics. No decision depends on it."""

import time
from collections import deque
from collections.abc import Iterable, Sequence

import structlog

from snk.core.intervals import NOTHING
from snk.errors import SnkError
from snk.log import Reminder
from snk.pair.catalog.shape import InsertTrigger
from snk.pair.core.report import Blocker, FlowStatus, trouble_of
from snk.pair.core.tail import Tail
from snk.pair.sync.progress import Progress
from snk.pair.sync.requested import RequestedRows
from snk.pair.sync.route import Route
from snk.pair.table.marks import MarkState
from snk.pair.table.writer import Delivered

RATE_SECONDS = 2.0
SAMPLE_SECONDS = 0.25
STALE_SECONDS = 10.0
LOOP_HINT = "Drop it, or exclude SNK's role: WHEN (current_user <> 'ROLE'). Then run `snk retry`"

log = structlog.get_logger()


class Meter:
    """The figures of one flow, over all its sessions.

    Attributes:
        conflicts: number of conflicts recorded in the destination.
        rejected: number of rows set aside there.
        late: number of rows that appeared in holes that were given up, and were delivered.
    """

    def __init__(self, route: Route, progress: Progress, requested: RequestedRows) -> None:
        self.conflicts = 0
        self.rejected = 0
        self.late = 0
        self._route = route
        self._progress = progress
        self._requested = requested
        self._tail = Tail()
        self._mark = MarkState()
        self._blockers: tuple[Blocker, ...] = ()
        self._waiting = 0
        self._delivered = 0
        self._echoes = 0
        self._present = 0
        self._error = ""
        self._notice = ""
        self._reminder = Reminder()
        self._errored_at = self._whole_at = time.monotonic()
        self._samples: deque[tuple[float, int]] = deque([(self._whole_at, 0)])

    @property
    def high(self) -> int:
        """The greatest id read at the source."""
        return self._tail.high

    @property
    def delivered(self) -> int:
        """Rows inserted into the destination since the daemon started."""
        return self._delivered

    def stood_by(self) -> None:
        """Record that another daemon leads: the age of holes is counted from when this daemon takes over."""
        self._whole_at = time.monotonic()

    def wrote(self, delivered: Delivered) -> None:
        """Record that a batch was written."""
        self._delivered += delivered.inserted
        self._present += len(delivered.present)
        self.conflicts += len(delivered.conflicts)
        self._sample()

    def echoed(self, rows: int) -> None:
        """Record that rows were recognised as SNK's own."""
        self._echoes += rows

    def reached(self, tail: Tail, mark: MarkState) -> None:
        """Record how far the flow has come."""
        self._tail, self._mark = tail, mark
        if not tail.fenced:
            self._whole_at = time.monotonic()
            self._blockers = ()

    def looked(self, waiting: int, blockers: Sequence[Blocker]) -> None:
        """Record what a beat saw at the source: the number of ids above the mark, and who holds holes open."""
        self._waiting, self._blockers = waiting, tuple(blockers)
        self._sample()

    def failed(self, error: SnkError) -> None:
        """Record that a session ended with an error."""
        self._error, self._errored_at = str(error), time.monotonic()

    def note_loop(self, triggers: str) -> None:
        """Record that triggers of the source create rows from delivered rows without end; these rows are set aside."""
        source = self._route.source.label
        self._notice = (
            f"triggers of {source} insert rows for rows that SNK delivers, without end: {triggers}. {LOOP_HINT}"
        )
        if self._reminder.due(triggers):
            log.warning("trigger_loop", **self._route.labels, triggers=triggers, effect="their rows are set aside")

    def note_rewriting(self, triggers: Iterable[InsertTrigger]) -> None:
        """Record that rows differ from those in the destination; some of the triggers there may change rows."""
        before = sorted(
            trigger.full_name for trigger in triggers if trigger.timing == "before" and trigger.level == "row"
        )
        if before:
            destination = self._route.destination.label
            self._notice = f"rows differ in {destination}, where triggers may change them: {', '.join(before)}"

    @property
    def trouble(self) -> str:
        """As `FlowStatus.trouble`, for a tenth of what a status costs."""
        progress = self._progress
        return trouble_of(
            self._route.name,
            progress.state,
            awaits=progress.awaits,
            error=self._error,
            progress_seconds=progress.idle_seconds,
        )

    def status(self) -> FlowStatus:
        """Return a snapshot of all figures."""
        now = time.monotonic()
        progress, route = self._progress, self._route
        holes = self._tail.holes if self._tail.fenced else NOTHING
        return FlowStatus(
            table=route.table,
            source=route.source.label,
            destination=route.destination.label,
            state=progress.state,
            high=self._tail.high,
            safe=self._mark.safe,
            version=self._mark.version,
            hole_ids=len(holes) if holes else 0,
            holes=len(holes.pairs),
            holes_seconds=now - self._whole_at if holes else 0.0,
            blockers=self._blockers,
            lag_seconds=progress.lag_seconds,
            lag_rows=self._waiting,
            delivered=self._delivered,
            echoes=self._echoes,
            present=self._present,
            conflicts=self.conflicts,
            rejected=self.rejected,
            wanted=len(self._requested),
            late=self.late,
            leader=progress.leader,
            rows_per_second=self._rate(now),
            progress_seconds=progress.idle_seconds,
            awaits=progress.awaits,
            error=self._error,
            notice=self._notice,
            error_seconds=now - self._errored_at if self._error else None,
        )

    def _sample(self) -> None:
        now = time.monotonic()
        if now - self._samples[-1][0] > SAMPLE_SECONDS:
            self._samples.append((now, self._delivered))
            while now - self._samples[0][0] > RATE_SECONDS:
                self._samples.popleft()

    def _rate(self, now: float) -> float:
        since, delivered = self._samples[0]
        if now - self._samples[-1][0] > STALE_SECONDS:  # the flow rests
            return 0.0
        return (self._delivered - delivered) / (now - since) if now - since > 1.0 else 0.0
