"""Done files: the proof that a frame was pushed. One for each portion, and one for each day that is over.

A Done file is written when the receiving server has acknowledged every record, and stays. Only `snk pipeline gc`
removes proofs, and then keeps a floor: all frames below it were done.
"""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from snk.core.canonical import Digest
from snk.core.intervals import NOTHING, Intervals, union
from snk.pipeline import space
from snk.pipeline.frame import Portion, moment
from snk.pipeline.space import DAY, STEP_NS, Space

FLOOR = "floor.json"
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Done:
    """The proof of one portion.

    Attributes:
        frame: where the frame starts, such as ``2026-11-25T00:00:00Z``.
        count: records that the receiving server acknowledged.
        digest: of them, as they were sent (`snk.core.canonical`).
        part: 0 for the frame itself, or the number of the supplement.
        again: whether these are all records of the frame, sent once more; then the parts before it do not count.
        source_digest: of them, as the source has them.
        ambiguous: how many requests had no answer, so that they were sent again.
        stored: how many records the server had from before.
        dropped: why a person gave the rest of the frame up; empty if all was sent.
        done_at: when, in UTC.
    """

    frame: str
    count: int
    digest: str
    part: int = 0
    again: bool = False
    source_digest: str = ""
    ambiguous: int = 0
    stored: int = 0
    dropped: str = ""
    done_at: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over proofs.

    Attributes:
        records: that were acknowledged.
        late: those of them that came in supplements.
        ambiguous: requests without an answer.
        stored: records that the server had from before.
        dropped: portions that a person gave up.
    """

    records: int = 0
    late: int = 0
    ambiguous: int = 0
    stored: int = 0
    dropped: int = 0

    def plus(self, done: Done) -> "Totals":
        """With one more proof. Records that were sent once more are counted already."""
        new = 0 if done.again else done.count
        return Totals(
            self.records + new,
            self.late + (new if done.part else 0),
            self.ambiguous + done.ambiguous,
            self.stored + done.stored,
            self.dropped + bool(done.dropped),
        )

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(*(getattr(self, name) + getattr(other, name) for name in Totals.__slots__))


@dataclass(frozen=True, slots=True)
class _Day:
    """What is remembered of the file of one day."""

    mark: tuple[int, int, int]
    frames: Intervals
    supplements: frozenset[Portion]
    totals: Totals
    marked: "Marked"


@dataclass(slots=True)
class Marked:
    """Frames whose proofs tell more than that they are done.

    Attributes:
        late: those with records that came late.
        dropped: those of which a person gave something up.
    """

    late: set[int] = field(default_factory=set)
    dropped: set[int] = field(default_factory=set)

    def add(self, portion: Portion, done: Done) -> None:
        """One more proof; of a frame that was sent once more, what was before does not count."""
        if done.again:
            self.late.discard(portion.frame)
            self.dropped.discard(portion.frame)
        if done.dropped:
            self.dropped.add(portion.frame)
        elif portion.part and done.count and not done.again:
            self.late.add(portion.frame)


class Proofs:
    """The Done files of a space, as they were when last looked at.

    Attributes:
        frames: the numbers of all frames that are done, those below the floor among them.
        supplements: those that are done.
        floor: the proofs of all frames below this number are gone.
    """

    def __init__(self, whole: Space) -> None:
        self.frames = NOTHING
        self.supplements: frozenset[Portion] = frozenset()
        self.floor = 0
        self._space = whole
        self._folder = whole.done.path
        self._single: dict[Portion, Done | None] = {}
        self._days: dict[str, _Day] = {}
        self._sums: tuple[Totals, Marked] | None = None
        self._mark = (0, 0)
        # A thread may add a proof while another looks at the folder, and has not seen its file, or at the proofs.
        self._changing = threading.Lock()

    def __contains__(self, portion: Portion) -> bool:
        if portion.frame < self.floor:
            return True
        return portion in self.supplements if portion.part else portion.frame in self.frames

    def refresh(self) -> bool:
        """Look again if the folder has changed; return whether it had."""
        try:
            state = self._folder.stat()
        except FileNotFoundError:
            return False
        mark = (state.st_mtime_ns, state.st_ino)
        if mark == self._mark:
            return False
        self._mark = mark if time.time_ns() - state.st_mtime_ns > STEP_NS else (0, 0)
        with self._changing:
            self._look()
        return True

    def _look(self) -> None:
        self._sums = None
        self.floor = read_floor(self._space)
        single = (
            self._space.done.portions()
        )  # before the days: what is put into them meanwhile is seen twice, not never
        self._days = {file.name: self._day(file) for file in _day_files(self._folder)}
        frames = union(day.frames for day in self._days.values())
        supplements: set[Portion] = set().union(*(day.supplements for day in self._days.values()))
        self._single = {
            portion: self._single.get(portion)
            for portion in single
            if not (portion in supplements if portion.part else portion.frame in frames)
        }
        self.supplements = frozenset(supplements.union(portion for portion in self._single if portion.part))
        own = Intervals.of((portion.frame, portion.frame) for portion in self._single if not portion.part)
        self.frames = union((Intervals.of([(0, self.floor - 1)]), own, frames))

    def add(self, portion: Portion, done: Done) -> None:
        """Write a proof; it is on disk on return.

        Raises:
            OSError: it cannot be written.
        """
        space.replace(self._space.done.file(portion), _text(done))
        with self._changing:
            self._single[portion], self._sums = done, None
            if portion.part:
                self.supplements |= {portion}
            else:
                self.frames |= Intervals(((portion.frame, portion.frame),))

    def totals(self) -> Totals:
        """The sums over all proofs that are there."""
        return self._summed()[0]

    def marked(self) -> Marked:
        """The frames whose proofs tell more than that they are done; not to be changed."""
        return self._summed()[1]

    def _summed(self) -> tuple[Totals, Marked]:
        """Both; they are the same until a proof comes or goes."""
        with self._changing:
            while self._sums is None:
                try:
                    self._sums = self._sum()
                except FileNotFoundError:  # push has put it into the file of its day
                    self._look()
            return self._sums

    def _sum(self) -> tuple[Totals, Marked]:
        totals, marked = Totals(), Marked()
        for day in self._days.values():
            totals += day.totals
            marked.late |= day.marked.late
            marked.dropped |= day.marked.dropped
        for portion in sorted(self._single):
            done = self._read(portion)
            totals = totals.plus(done)
            marked.add(portion, done)
        return totals, marked

    def of(self, frame: int) -> dict[Portion, Done]:
        """All proofs of one frame that are there, also those that no longer count, in their order."""
        iso, start = self._space.grid.iso(frame), self._space.grid.start(frame)
        with self._changing:
            found = {portion: self._read(portion) for portion in self._single if portion.frame == frame}
            with suppress(FileNotFoundError):
                for line in (self._folder / f"{moment(start):%Y%m%d}{DAY}").read_bytes().splitlines():
                    if iso.encode() in line and (done := _parsed(line)).frame == iso:
                        found[Portion(frame, done.part)] = done
        return {portion: found[portion] for portion in sorted(found)}

    def between(self, low: int, high: int) -> dict[int, list[Done]]:
        """The proofs of frames from ``low`` to below ``high``, each with those of its supplements, in their order.

        Of a frame that was sent again, only that and what came later.
        """
        found: dict[Portion, Done] = {}
        with self._changing:
            for name, day in self._days.items():
                if any(low < last + 1 and first < high for first, last in day.frames.pairs) or day.supplements:
                    found.update(self._in(self._folder / name))
            found.update((portion, self._read(portion)) for portion in self._single if low <= portion.frame < high)
        frames: dict[int, list[Done]] = {}
        for portion in sorted(found):
            if low <= portion.frame < high:
                done = found[portion]
                frames[portion.frame] = [*([] if done.again else frames.get(portion.frame, [])), done]
        return frames

    def compact(self, before: float) -> None:
        """Put the proofs of each day that had ended by a moment, in seconds since the epoch, into one file."""
        days: dict[str, list[Portion]] = {}
        for portion in sorted(self._space.done.portions()):
            start = self._space.grid.start(portion.frame)
            if start - start % DAY_SECONDS + DAY_SECONDS <= before:
                days.setdefault(f"{moment(start):%Y%m%d}{DAY}", []).append(portion)
        for name, portions in days.items():
            file = self._folder / name
            held = dict(self._in(file)) if file.exists() else {}
            held.update((portion, _parsed(self._space.done.file(portion).read_bytes())) for portion in portions)
            space.replace(file, b"".join(_text(held[portion]) for portion in sorted(held)))
            for portion in portions:
                self._space.done.file(portion).unlink()
        if days:
            self._mark = (0, 0)
            self.refresh()

    def remove_below(self, frame: int) -> int:
        """Remove the files of days that lie below this frame, and below the first that is not done; return how many.

        A frame of which a supplement waits, or which is still looked at, is not done.
        """
        undone = Intervals.of([(self.floor, frame - 1)]) - self.frames
        waiting = [portion.frame for portion in self._space.frames.portions() if portion not in self]
        waiting += [portion.frame for portion in self._space.again.portions()]
        looked_at = [portion.frame for portion in self._space.seen.portions()]
        frame = min([frame, *(low for low, _ in undone.pairs[:1]), *waiting, *looked_at])
        below = [name for name, day in self._days.items() if all(last < frame for _, last in day.frames.pairs)]
        below = [name for name in below if all(each.frame < frame for each in self._days[name].supplements)]
        if below:
            top = max(last for name in below for _, last in self._days[name].frames.pairs) + 1
            write_floor(self._space, max(self.floor, top))
            for name in below:
                (self._folder / name).unlink()
            self._mark = (0, 0)
            self.refresh()
        return len(below)

    def _day(self, file: Path) -> _Day:
        state = file.stat()
        mark = (state.st_mtime_ns, state.st_ino, state.st_size)
        known = self._days.get(file.name)
        if known and known.mark == mark:
            return known
        totals, marked, frames, supplements = Totals(), Marked(), [], []
        for portion, done in self._in(file):
            totals = totals.plus(done)
            marked.add(portion, done)
            if portion.part:
                supplements.append(portion)
            else:
                frames.append((portion.frame, portion.frame))
        return _Day(mark, Intervals.of(frames), frozenset(supplements), totals, marked)

    def _in(self, file: Path) -> Iterator[tuple[Portion, Done]]:
        for line in file.read_bytes().splitlines():
            done = _parsed(line)
            portion = self._space.grid.portion(_name(done))
            if portion is not None:
                yield portion, done

    def _read(self, portion: Portion) -> Done:
        done = self._single[portion]
        if done is None:
            done = self._single[portion] = _parsed(self._space.done.file(portion).read_bytes())
        return done


def combined(parts: Iterable[Done]) -> Digest:
    """Count and digest of a frame with its supplements."""
    whole = Digest()
    for done in parts:
        whole.merge(Digest(done.count, int(done.digest, 16)))
    return whole


def read_floor(whole: Space) -> int:
    """The frame below which all were done and their proofs are gone.

    Raises:
        ValueError: the file cannot be read, or was written with another base.
    """
    with suppress(FileNotFoundError):
        name = json.loads((whole.rss / FLOOR).read_bytes())["below"]
        portion = whole.grid.portion(name)
        if portion is None:
            raise ValueError(f"{FLOOR} names {name!r}, which is no frame of this base")
        return portion.frame
    return 0


def write_floor(whole: Space, frame: int) -> None:
    """Say that all frames below this one were done, before their proofs are removed."""
    space.replace(whole.rss / FLOOR, json.dumps({"below": whole.grid.name(Portion(frame))}).encode() + b"\n")


def _day_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob(f"[0-9]*{DAY}"))


def _name(done: Done) -> str:
    name = done.frame.replace("-", "").replace(":", "")
    return f"{name}.{done.part}" if done.part else name


def _text(done: Done) -> bytes:
    return json.dumps(asdict(done)).encode() + b"\n"


def _parsed(text: bytes) -> Done:
    return replace(Done("", 0, ""), **json.loads(text))
