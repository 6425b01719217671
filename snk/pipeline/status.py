"""How far the pipeline is, as the files of both spaces tell; the processes need not run for it."""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from snk.core.intervals import NOTHING
from snk.core.words import counted
from snk.pipeline.clock import APART_SECONDS
from snk.pipeline.frame import Portion
from snk.pipeline.framefile import End, last_line
from snk.pipeline.loaded import read_loaded
from snk.pipeline.proof import Done, Proofs
from snk.pipeline.quarantine import Quarantine
from snk.pipeline.report import Report, told
from snk.pipeline.schedule import Looking
from snk.pipeline.seen import Damaged
from snk.pipeline.space import Space
from snk.pipeline.states import Frames, Waiting

KEEP_SECONDS = 1.0
"""A status is asked for by several, and looked up once in this time."""
SIZE_SECONDS = 10.0
"""The disk that both spaces take is asked for once in this time."""
PATIENCE_SECONDS = 600.0
"""A backlog that is older than this, and than the lookback, is worth a word; so is one whose end is not known."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the settings say.

    Attributes:
        looking: when frames are due.
        delay: seconds from the end of a frame until it is pulled, unless pull tells another one.
        quota: bytes; 0 is no limit.
        digests: whether the receiving server tells what its database holds.
    """

    looking: Looking
    delay: float
    quota: int
    digests: bool


@dataclass(slots=True)
class Status:
    """The state of the pipeline.

    Attributes:
        missing: frames that are due and were not pulled.
        pulled: portions that wait to be pushed: frames, and supplements of frames that may be done.
        pushing: portions of which some records were pushed.
        done: frames with a Done file.
        quarantined: portions that are set aside.
        again: frames that a person wants to be pulled once more.
        late: records that came late, so that they were or will be pushed as a supplement.
        ambiguous: requests whose answers were lost, so that they were sent again.
        records: that the receiving server acknowledged.
        stored: those of them that it had from before.
        dropped: portions that a person gave up.
        accepted: frames that are done and not known to be in the database.
        loaded: frames that are in the database of the receiving server; None if it does not tell.
        lag_seconds: age of the oldest frame that is due and not done; 0 if there is none.
        eta_seconds: until everything that is due is done, at the rate of late; None if unknown.
        disk_bytes: what both spaces take.
        waiting_records: in the frames that wait to be pushed.
        troubles: what a person should see to.
        pull: what the process tells.
        push: what the process tells.
    """

    missing: int = 0
    pulled: int = 0
    pushing: int = 0
    done: int = 0
    quarantined: int = 0
    again: int = 0
    late: int = 0
    ambiguous: int = 0
    records: int = 0
    stored: int = 0
    dropped: int = 0
    accepted: int = 0
    loaded: int | None = None
    lag_seconds: float = 0.0
    eta_seconds: float | None = None
    disk_bytes: int = 0
    quota_bytes: int = 0
    waiting_records: int = 0
    troubles: list[str] = field(default_factory=list)
    pull: Report = field(default_factory=Report)
    push: Report = field(default_factory=Report)

    @property
    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


class Watcher:
    """Looks at both spaces; what has not changed since the last look is not read again."""

    def __init__(self, space: Space, known: Known) -> None:
        self._space = space
        self._known = known
        self._proofs = Proofs(space)
        self._ends: dict[Portion, End] = {}
        self._bytes, self._sized_at = 0, float("-inf")
        self._due = NOTHING
        self._aside: frozenset[Portion] = frozenset()

    def status(self) -> Status:
        """The state now."""
        pull, push = told(self._space.sss), told(self._space.rss)
        self._proofs.refresh()  # after what push tells: what it counts for unfinished frames may be in a proof by now
        status = Status(
            done=len(self._proofs.frames),
            disk_bytes=self._size(),
            quota_bytes=self._known.quota,
            pull=pull,
            push=push,
        )
        self._look_at_frames(status)
        self._look_at_proofs(status)
        status.eta_seconds = _eta(status)
        status.troubles = list(_troubles(status, self._known))
        return status

    def _size(self) -> int:
        """What both spaces take; it is looked up now and then only, because every file is asked."""
        if time.monotonic() - self._sized_at > SIZE_SECONDS:
            self._bytes, self._sized_at = self._space.size(), time.monotonic()
        return self._bytes

    @property
    def frames(self) -> Frames:
        """What had become of each frame at the last look."""
        marked = self._proofs.marked()
        waiting = [Waiting(portion, end.again) for portion, end in self._ends.items() if portion not in self._aside]
        late, dropped, aside = frozenset(marked.late), frozenset(marked.dropped), {each.frame for each in self._aside}
        return Frames(self._due, self._proofs.frames, tuple(waiting), late, dropped, frozenset(aside))

    def proofs_of(self, frame: int) -> dict[Portion, Done]:
        """The proofs of one frame, in their order."""
        return self._proofs.of(frame)

    @property
    def floor(self) -> int:
        """The proofs of all frames below this number are gone."""
        return self._proofs.floor

    def _look_at_frames(self, status: Status) -> None:
        """What is missing, and what waits."""
        space, pull = self._space, status.pull
        there = {portion for portion in space.frames.portions() if portion not in self._proofs}
        aside = Quarantine(space.unfit).portions() | Quarantine(space.refused).portions()
        begun = {portion for portion in space.uids.portions() if portion in there and portion not in aside}
        self._read_ends(there)
        now = pull.source_now if pull.fresh and pull.source_now else time.time() + (pull.ahead or 0.0)
        due = self._known.looking.due(now, pull.delay_seconds if pull.fresh else self._known.delay)
        self._due, self._aside = due, aside
        undone = due - self._proofs.frames
        held, unfit = _frames(there), _frames(aside)
        status.missing = len(undone.without(held | unfit))
        status.pulled = len(there - begun - aside)
        status.pushing, status.quarantined = len(begun), len(aside)
        status.again = len(space.again.portions())
        status.late = sum(end.count for portion, end in self._ends.items() if portion.part and not end.again)
        status.waiting_records = sum(end.count for end in self._ends.values())
        if undone:
            status.lag_seconds = round(self._known.looking.age(undone.pairs[0][0], now), 1)

    def _look_at_proofs(self, status: Status) -> None:
        """What was pushed."""
        totals = self._proofs.totals()
        status.late += totals.late
        status.ambiguous = totals.ambiguous + (self._ambiguous(status.push) if status.push.fresh else 0)
        status.records, status.stored, status.dropped = totals.records, totals.stored, totals.dropped
        proven = self._proofs.frames.above(self._proofs.floor - 1)
        unknown = proven - read_loaded(self._space)
        status.accepted = len(unknown)
        status.loaded = len(proven) - len(unknown) if self._known.digests else None

    def _ambiguous(self, push: Report) -> int:
        """What push counted for frames that have no proof yet."""
        portions = ((self._space.grid.portion(name), count) for name, count in push.ambiguous.items())
        return sum(count for portion, count in portions if portion and portion not in self._proofs)

    def _read_ends(self, there: set[Portion]) -> None:
        """Know how many records each of these portions has."""
        self._ends = {portion: end for portion, end in self._ends.items() if portion in there}
        for portion in there - self._ends.keys():
            with suppress(Damaged, OSError):  # that is told when it is pushed
                self._ends[portion] = last_line(self._space.frames.file(portion))


class Recent:
    """The status, looked up at most once a second, however many ask."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self._status = Status()
        self._frames: Frames | None = None
        self._at = float("-inf")

    def status(self) -> Status:
        """The status of a moment ago."""
        if time.monotonic() - self._at > KEEP_SECONDS:
            self._status, self._frames, self._at = self.watcher.status(), None, time.monotonic()
        return self._status

    def frames(self) -> Frames:
        """What had become of each frame a moment ago."""
        self.status()
        if self._frames is None:
            self._frames = self.watcher.frames
        return self._frames


def _frames(portions: Iterable[Portion]) -> set[int]:
    """The frames themselves among portions, without supplements."""
    return {portion.frame for portion in portions if not portion.part}


def _eta(status: Status) -> float | None:
    """Seconds until all that is due is done: records that wait, and as many in each missing frame as usual."""
    if not (status.missing or status.pulled or status.pushing):
        return 0.0
    usual = status.records / status.done if status.done else 0.0
    left = status.waiting_records + usual * status.missing
    rate = status.push.per_second if status.push.fresh else 0.0
    return round(left / rate, 1) if rate > 0 else None


def _troubles(status: Status, known: Known) -> Iterator[str]:
    for name, report in (("pull", status.pull), ("push", status.push)):
        if not report.fresh:
            yield f"{name} does not run" + (f" ({report.trouble})" if report.trouble else "")
        elif report.trouble:
            yield f"{name}: {report.trouble}"
        elif report.failing:
            frame, reason = min(report.failing.items())
            yield f"{name}: {counted(len(report.failing), 'frame')} failed, such as {frame}: {reason}"
    if status.quarantined:
        yield f"{counted(status.quarantined, 'frame')} in quarantine; see `snk pipeline quarantine list`"
    if status.push.fresh and status.push.unequal:
        frame, reason = min(status.push.unequal.items())
        yield f"{counted(len(status.push.unequal), 'frame')} not in the database as sent, such as {frame}: {reason}"
    if status.pull.fresh and status.pull.ahead is not None and abs(status.pull.ahead) > APART_SECONDS:
        yield f"the clocks of the source and of this machine differ by {abs(status.pull.ahead):.0f} s"
    if status.pull.changed:
        yield f"{counted(status.pull.changed, 'record')} changed after they had been pulled, which is not pushed"
    if status.lag_seconds > max(PATIENCE_SECONDS, known.looking.lookback):
        yield f"the oldest frame that is not done is {status.lag_seconds / 60:.0f} minutes old"
