"""What one flow counts of itself, for status and metrics."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import structlog

from snk.errors import SnkError
from snk.log import Reminder
from snk.pair.catalog.shape import InsertTrigger
from snk.pair.core.report import Blocker, FlowState, FlowStatus
from snk.pair.core.tail import Tail
from snk.pair.table.writer import Delivered, MarkState

RATE_SECONDS = 2.0
LOOP_HINT = "Drop it, or have it spare SNK's role: WHEN (current_user <> 'ROLE'). Then run `snk retry`"

log = structlog.get_logger()


class Meter:
    """The figures of one flow, over all its sessions. Only its flow writes to it, and who decides whether it runs."""

    def __init__(self, table: str, source: str, destination: str, wanted: Sequence[str] = ()) -> None:
        self.state: FlowState = "starting"
        self.conflicts = 0
        self.rejected = 0
        self.late = 0
        self.leader = ""
        self.names = {"table": table, "source": source, "destination": destination}
        self._wanted = wanted
        self._tail = Tail()
        self._mark = MarkState()
        self._blockers: tuple[Blocker, ...] = ()
        self._waiting = 0
        self._delivered = 0
        self._echoes = 0
        self._present = 0
        self._awaits: tuple[str, ...] = ()
        self._error = ""
        self._notice = ""
        self._reminder = Reminder()
        now = time.monotonic()
        self._errored_at = now
        self._stepped_at = now
        self._caught_up_at = now
        self._watched_until = 0.0
        self._whole_at = now
        self._samples: deque[tuple[float, int]] = deque([(now, 0)])

    @property
    def name(self) -> str:
        """Such as ``records first→second``."""
        return "{table} {source}→{destination}".format(**self.names)

    def stepped(self) -> None:
        """A step was finished."""
        self._stepped_at = time.monotonic()

    def stood_by(self) -> None:
        """Another daemon leads, and its lag counts: this one's begins when it takes over, as at a start."""
        now = time.monotonic()
        self._stepped_at = self._caught_up_at = self._whole_at = now

    def wrote(self, delivered: Delivered) -> None:
        """A batch was written."""
        self._delivered += delivered.inserted
        self._present += len(delivered.present)
        self.conflicts += len(delivered.conflicts)

    def echoed(self, rows: int) -> None:
        """So many rows were recognised as SNK's own."""
        self._echoes += rows

    def reached(self, tail: Tail, mark: MarkState, asked: float | None) -> None:
        """So far it came; all that was visible at monotonic time ``asked`` is delivered, None where more is waiting."""
        self._tail, self._mark = tail, mark
        self._caught_up_at = self._caught_up_at if asked is None else asked
        if not tail.fenced:
            self._whole_at = time.monotonic()
            self._blockers = ()

    @contextmanager
    def watched_until(self, moment: float) -> Iterator[None]:
        """Inside the block the source's server watches for rows until so: as long as it is silent, there are none."""
        self._watched_until = moment
        try:
            yield
        finally:
            self._watched_until = 0.0

    @contextmanager
    def awaiting(self, tables: Iterable[str]) -> Iterator[None]:
        """Inside the block rows wait for those to which they refer, which other flows are bringing."""
        self._awaits = tuple(sorted(tables))
        try:
            yield
        finally:
            self._awaits = ()
            self.stepped()

    def looked(self, waiting: int, blockers: Sequence[Blocker]) -> None:
        """A beat looked at the source: ids above the mark, and who holds holes open."""
        self._waiting, self._blockers = waiting, tuple(blockers)
        now = time.monotonic()
        self._samples.append((now, self._delivered))
        while now - self._samples[0][0] > RATE_SECONDS:
            self._samples.popleft()

    def failed(self, error: SnkError) -> None:
        """A session ended with an error."""
        self._error, self._errored_at = str(error), time.monotonic()
        self.stepped()

    def note_loop(self, triggers: str) -> None:
        """Triggers of the source make rows of delivered rows without end; what they make is set aside."""
        source = self.names["source"]
        self._notice = (
            f"triggers of {source} make rows of those that SNK delivers, without end: {triggers}. {LOOP_HINT}"
        )
        if self._reminder.due(triggers):
            log.warning("trigger_loop", **self.names, triggers=triggers, effect="what they make is set aside")

    def note_rewriting(self, triggers: Iterable[InsertTrigger]) -> None:
        """Rows differ from what the destination holds, and these are the triggers there: some may change rows."""
        before = sorted(
            trigger.full_name for trigger in triggers if trigger.timing == "before" and trigger.level == "row"
        )
        if before:
            destination = self.names["destination"]
            self._notice = f"rows differ in {destination}, where triggers may change them: {', '.join(before)}"

    def status(self) -> FlowStatus:
        """All figures at this moment."""
        now = time.monotonic()
        holes = self._tail.holes
        return FlowStatus(
            **self.names,
            state=self.state,
            high=self._tail.high,
            safe=self._mark.safe,
            version=self._mark.version,
            hole_ids=len(holes),
            holes=len(holes.pairs),
            holes_seconds=now - self._whole_at if holes else 0.0,
            blockers=self._blockers,
            lag_seconds=0.0 if now < self._watched_until else max(0.0, now - self._caught_up_at),
            lag_rows=self._waiting,
            delivered=self._delivered,
            echoes=self._echoes,
            present=self._present,
            conflicts=self.conflicts,
            rejected=self.rejected,
            wanted=len(self._wanted),
            late=self.late,
            leader=self.leader,
            rows_per_second=self._rate(now),
            progress_seconds=0.0 if self._awaits else now - self._stepped_at,
            awaits=self._awaits,
            error=self._error,
            notice=self._notice,
            error_seconds=now - self._errored_at if self._error else None,
        )

    def _rate(self, now: float) -> float:
        since, delivered = self._samples[0]
        return (self._delivered - delivered) / (now - since) if now - since > 1.0 else 0.0
