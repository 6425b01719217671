"""A model of the two spaces: whatever a crash leaves, the two processes end with every frame Done once.

The folders, the files and all code that reads and writes them are real; the network is not there, and time passes as
the test wants. A history is a list of records, each visible in its frame from some moment on, and perhaps in a
neighbour, too. Pull and push take turns at random; at any operation on a file one of them is killed, the machine
crashes, which may undo what was not forced to disk, or the disk is full. Then they start again.
"""

import asyncio
import dataclasses
import io
import json
import logging
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from snk.core.backoff import Backoff
from snk.core.canonical import Digest
from snk.http.auth.credentials import AuthTable, Credentials
from snk.http.client import Answered, NoAnswer
from snk.pipeline import push as pushing
from snk.pipeline.again import wish
from snk.pipeline.clock import SourceClock
from snk.pipeline.frame import Grid, Portion
from snk.pipeline.framefile import End, Making
from snk.pipeline.mapping import Mapper, dumps
from snk.pipeline.outcome import ALREADY_STORED, USUAL
from snk.pipeline.page import Page, Reading
from snk.pipeline.parcels import Parcels
from snk.pipeline.proof import Done, Proofs, combined
from snk.pipeline.pull import Pull, Pulling
from snk.pipeline.push import Push
from snk.pipeline.schedule import Looking
from snk.pipeline.sink import Parcel, Sending, Sink
from snk.pipeline.source import Asking, Source
from snk.pipeline.space import Space
from tests.kit.crash import Crash, Disk, Fault, Kind

FRAME_SECONDS = 1000
LOOKBACK = 300.0
STEP = 125.0
NEVER_STOP = asyncio.Event()
ASKING = Asking(
    "http://ss.example/",
    Reading("json", "", "uid", "", ""),
    "none",
    "",
    1,
    frozenset(),
    1000.0,
    1.0,
    {},
    Credentials(AuthTable()),
)
SENDING = Sending(
    URL("http://rs.example/"),
    URL("http://rs.example/"),
    wrapped=False,
    method="POST",
    batch=0,
    key_form="bare",
    rules=USUAL,
    tries=20,
    seconds=1.0,
    slots=1,
    headers={},
    credentials=Credentials(AuthTable()),
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Faults are logged; here they are too many."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@dataclass(frozen=True, slots=True)
class Known:
    """A record of the source.

    Attributes:
        frame: that it belongs to.
        age: how long after the end of its frame it is visible.
        also: another frame whose answer has it, too; its own if there is none.
        twice: whether its frame's answer has it twice.
    """

    uid: str
    frame: int
    age: float
    also: int
    twice: bool

    @property
    def record(self) -> dict[str, Any]:
        return {"uid": self.uid, "value": self.uid * 3, "of": self.frame}


@dataclass(frozen=True, slots=True)
class History:
    """What happens outside of the pipeline, and how the test drives it.

    Attributes:
        wishes: so often a person wants a frame to be sent again.
    """

    frames: int
    records: tuple[Known, ...]
    seed: int
    batch: int = 0
    lanes: int = 1
    share: float = 0.5
    losses: float = 0.1
    wishes: int = 0


@st.composite
def histories(draw: st.DrawFn) -> History:
    frames = draw(st.integers(1, 4))
    number = st.integers(0, frames - 1)
    age = st.sampled_from([0.0, 0.0, 10.0, 70.0, 200.0, LOOKBACK])
    shapes = draw(st.lists(st.tuples(number, age, st.sampled_from([0, 0, -1, 1]), st.booleans()), max_size=12))
    records = tuple(
        Known(f"u{count}", frame, age, also if 0 <= (also := frame + beside) < frames else frame, twice)
        for count, (frame, age, beside, twice) in enumerate(shapes)
    )
    return History(
        frames,
        records,
        draw(st.integers(0, 2**32)),
        draw(st.sampled_from([0, 0, 2])),
        draw(st.integers(1, 3)),
        draw(st.sampled_from([0.25, 0.5, 1.0])),
        draw(st.sampled_from([0.0, 0.2])),
    )


faults = st.lists(
    st.builds(Fault, st.integers(1, 60), st.sampled_from(["kill", "machine", "full"]), st.integers(1, 8)), max_size=5
)


class Clock(SourceClock):
    """A clock of the source that shows what the test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.known = True
        self.at = 0.0

    def now(self) -> float:
        return self.at


class Sender(Source):
    """The source, without a network."""

    def __init__(self, world: "World") -> None:
        super().__init__(ASKING, world.space.sss)
        self.clock = world.clock
        self._world = world

    async def pages(self, start: str, end: str, over_at: float) -> AsyncIterator[Page]:
        _ = end, over_at
        grid = self._world.space.grid
        portion = grid.portion(start.replace("-", "").replace(":", ""))
        assert portion
        found = self._world.visible(portion.frame)
        self._world.chance.shuffle(found)
        yield self._asking.reading.page(io.BytesIO(json.dumps(found).encode()))


class Receiver(Sink):
    """The receiving server, without a network: it stores each record once, and some of its answers are lost.

    Attributes:
        stored: by uid.
        acknowledged: the uids whose answers arrived, each as often as it was sent.
    """

    def __init__(self, sending: Sending, world: "World") -> None:
        self.sending = sending
        self._outcomes = {}
        self._world = world

    async def close(self) -> None:
        """There is no connection."""

    async def send(self, parcel: Parcel, *, patience: int) -> Answered:
        _ = patience
        world = self._world
        if world.chance.random() < world.history.losses:
            raise NoAnswer("it was lost", sent=False)
        records = [json.loads(body) for body in parcel.bodies]
        assert parcel.batch or parcel.key.partition("~")[0] == records[0]["uid"]
        known = [record["uid"] in world.stored for record in records]
        for record in records:
            assert world.stored.setdefault(record["uid"], record) == record
        if world.chance.random() < world.history.losses:
            raise NoAnswer("its answer was lost", sent=True)
        world.acknowledged.update(record["uid"] for record in records)
        if all(known) and world.chance.random() < 0.5:
            problem = {"type": ALREADY_STORED, "equal": True}
            return Answered(409, CIMultiDict(), json.dumps(problem).encode())
        return Answered(201, CIMultiDict(), b"")


@dataclass(slots=True)
class World:
    """Both processes, their folders, and what is outside."""

    space: Space
    history: History
    disk: Disk
    chance: random.Random
    clock: Clock = field(default_factory=Clock)
    stored: dict[str, Any] = field(default_factory=dict)
    acknowledged: Counter[str] = field(default_factory=Counter)
    flight: list[tuple[Parcels, Parcel]] = field(default_factory=list)
    pull: Pull | None = None
    push: Push | None = None
    kills: Counter[str] = field(default_factory=Counter)
    planned: tuple[Fault, ...] = ()
    wishes: int = 0

    def visible(self, frame: int) -> list[dict[str, Any]]:
        """What the source answers for a frame now."""
        found = []
        for known in self.history.records:
            if self.clock.at >= self.space.grid.start(known.frame + 1) + known.age:
                times = (known.frame == frame) * (1 + known.twice) or (known.also == frame)
                found += [known.record] * times
        return found

    async def run(self) -> None:
        """From the base until everything is done."""
        grid, history = self.space.grid, self.history
        self.clock.at = float(grid.base)
        end = grid.start(history.frames) + LOOKBACK
        while self.clock.at < end:
            self.clock.at += STEP
            for _ in range(self.chance.randint(0, 10)):
                await self.guarded()
        self.clock.at = grid.start(history.frames + 1) - 1.0  # later than the times of all files
        for _ in range(1000):
            await self.guarded()
            if self._idle():
                break
        else:
            raise AssertionError(f"it does not end: {self._left()}")
        self.disk.faults = []
        if self.pull:
            await self._release()  # as it is done now and then, whether anything has changed or not
        await self._end()

    async def guarded(self) -> None:
        """One step; a process that a fault has ended is started again."""
        try:
            await self._step()
        except Crash:
            in_pull, kind = self.disk.log[-1].startswith("sss"), self.disk.restart()
            self.kills[kind] += 1
            if kind == "machine" or in_pull:
                self.pull = None
            if kind == "machine" or not in_pull:
                await self._end()

    async def _end(self) -> None:
        self.flight.clear()
        if self.push:
            for parcels in self.push.open:
                with suppress(OSError):
                    parcels.uids.close()
            self.push.open.clear()
            await self.push.close()
            self.push = None

    async def _step(self) -> None:
        if self.pull is None:
            looking = Looking(self.space.grid, LOOKBACK)
            plan = Pulling(looking, 0.0, follows=False, oldest_share=self.history.share, in_flight=1, quota=0)
            pull = Pull(self.space, Sender(self), plan)
            await pull.load()
            self.pull = pull
        if self.push is None:
            sending = dataclasses.replace(SENDING, batch=self.history.batch, slots=self.history.lanes)
            self.push = Push(self.space, Receiver(sending, self), Mapper({}), Backoff(1e-9, 1e-9), self.history.share)
            try:
                self.push.load()
            except BaseException:
                await self._end()
                raise
        if self.wishes < self.history.wishes and self.chance.random() < 0.1:
            self._wish()
        steps = [self._pull, self._pull, self._take, self._take, self._deliver, self._deliver, self._deliver]
        await self.chance.choice([*steps, self._read_ahead, self._finish, self._release, self._look, self._compact])()

    def _wish(self) -> None:
        """A person, in a process of their own, wants a frame to be sent again."""
        if frames := list(self.proofs().frames):
            self.wishes += 1
            with self.disk.apart():
                wish(self.space, [self.chance.choice(frames)], new_keys=True)

    async def _pull(self) -> None:
        assert self.pull
        frame = self.pull.choose()
        if frame is not None:
            await self.pull.pull(frame)

    async def _take(self) -> None:
        assert self.push
        if not self.push.blocked and len(self.flight) < self.history.lanes and (found := self.push._next()):
            self.flight.append(found)

    async def _read_ahead(self) -> None:
        assert self.push
        if not self.push.blocked:
            self.push.meanwhile()

    async def _deliver(self) -> None:
        assert self.push
        if self.flight and not self.push.blocked:
            parcels, parcel = self.flight.pop(self.chance.randrange(len(self.flight)))
            await self.push._deliver(parcels, parcel, NEVER_STOP)
            parcels.under_way -= 1
            self.push._later.cancel()
            self.push.meanwhile()

    async def _finish(self) -> None:
        assert self.push
        await self.push.finish()

    async def _look(self) -> None:
        """The upkeep of push."""
        assert self.push
        try:
            if self.push.blocked:
                self.push.unblock()
            self.push.refresh()
        except OSError as error:
            self.push.block(error)

    async def _compact(self) -> None:
        assert self.push
        if self.chance.random() < 0.3:
            try:
                self.push.proofs.compact(time.time() + 2 * 86_400)
            except OSError as error:
                self.push.block(error)

    async def _release(self) -> None:
        """The upkeep of pull."""
        assert self.pull
        try:
            await self.pull.refresh()
            await self.pull.release()
            self.pull.unblock()
        except OSError as error:
            self.pull.block(error)

    def release_now(self) -> None:
        """Pull acts at the very moment at which push, or the machine, ends."""
        if self.pull and self.disk.log[-1].startswith("rss"):
            self.pull.holding.refresh()
            self.pull.holding.release()

    def proofs(self) -> Proofs:
        proofs = Proofs(self.space)
        proofs.refresh()
        return proofs

    def check(self) -> None:
        """Every frame is Done once, every record is there once, and no file is left."""
        records = {known.uid: known.record for known in self.history.records}
        assert self.stored == records
        done = self.proofs().between(0, self.history.frames)
        assert sorted(done) == list(range(self.history.frames))
        for frame, parts in done.items():
            assert [each.part for each in parts] == sorted({each.part for each in parts})
            assert parts[0].part == 0 or parts[0].again
            own = [known for known in self.history.records if known.frame == frame]
            surely = sum(known.also == frame for known in own)
            perhaps = len(own) + sum(known.also == frame != known.frame for known in self.history.records)
            assert surely <= sum(each.count for each in parts) <= perhaps
        assert combined(each for parts in done.values() for each in parts) == Digest.of(records.values())
        last = self.space.grid.name(Portion(self.history.frames - 1))
        left = {path for path in self._left() if not path.startswith("rss/done/2") and not path.endswith("probe")}
        assert left <= {f"sss/seen/{last}.final"}, "its neighbour may still come"
        if not self.wishes and set(self.kills) <= {"kill"} and not any(fault.kind == "full" for fault in self.planned):
            again = sum(self.acknowledged.values()) - len(self.acknowledged)
            assert again <= self.kills["kill"] * max(1, self.history.batch), "only what was under way is sent twice"

    def _left(self) -> list[str]:
        return sorted(str(path.relative_to(self.space.root)) for path in self.space.root.rglob("*") if path.is_file())

    def _idle(self) -> bool:
        if self.flight or not (self.pull and self.push) or self.push.open or self.pull.blocked or self.push.blocked:
            return False
        space = self.space
        if any(folder.portions() for folder in (space.frames, space.uids, space.seen, space.again)):
            return False
        return len(self.proofs().frames) == self.history.frames and len(self.pull.holding.kept) <= 1


@contextmanager
def world(history: History, planned: list[Fault], *, hooked: bool = False) -> Iterator[World]:
    """A world in a folder of its own, with files that are real."""
    folder = Path(tempfile.mkdtemp(prefix="snk-model-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    base = int(time.time()) - history.frames * FRAME_SECONDS - FRAME_SECONDS // 2
    space = Space(folder / "space", Grid(base, FRAME_SECONDS))
    space.make(space.sss)
    space.make(space.rss)
    chance = random.Random(history.seed)
    disk = Disk(space.root, list(planned), chance)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pushing, "LEAST_SECONDS", 0.0)
            disk.install(patch)
            made = World(space, history, disk, chance, planned=tuple(planned))
            if hooked:
                disk.before_fault = made.release_now
            yield made
    finally:
        shutil.rmtree(folder)


class Inline(ThreadPoolExecutor):
    """Does what threads would do, at once: nothing is tested by waiting for them."""

    def submit(self, fn: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*arguments, **named))
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            future.set_exception(error)
        return future


def run(made: World) -> None:
    """Run a world to its end."""
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(Inline())
        runner.run(made.run())


def ended(history: History, planned: list[Fault], *, hooked: bool = False) -> World:
    """The world when all is done and checked."""
    with world(history, planned, hooked=hooked) as made:
        run(made)
        made.check()
    return made


@pytest.mark.long
@settings(max_examples=60)
@given(histories(), faults)
def test_whatever_happens_every_frame_is_done_once(history: History, planned: list[Fault]) -> None:
    ended(history, planned)


@pytest.mark.long
@settings(max_examples=40)
@given(histories(), faults, st.integers(1, 4))
def test_a_frame_that_is_sent_again_is_done_with_what_the_source_has(
    history: History, planned: list[Fault], wishes: int
) -> None:
    records = tuple(dataclasses.replace(known, also=known.frame) for known in history.records)
    ended(dataclasses.replace(history, records=records, wishes=wishes), planned)


LATE = tuple(
    Known(f"u{count}", frame, age, also, twice=count == 0)
    for count, (frame, age, also) in enumerate(
        [
            (0, 0.0, 0),
            (0, 0.0, 1),
            (0, 200.0, 0),
            (1, 0.0, 1),
            (1, 10.0, 0),
            (1, LOOKBACK, 1),
            (2, 0.0, 2),
            (2, 70.0, 1),
        ]
    )
)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["kill", "machine", "full"])
def test_a_fault_at_each_operation_of_a_history_changes_nothing(kind: Kind) -> None:
    history = History(3, LATE, seed=7, lanes=2, losses=0.0)
    count = ended(history, []).disk.count
    assert count > 100
    for at in range(len(kind), count + 1, 6):
        ended(history, [Fault(at, kind, lasting=3), Fault(1 + at % 5, "machine")], hooked=at % 2 == 0)


@dataclass(frozen=True, slots=True)
class Left:
    """What a crash left of one frame.

    Attributes:
        frame: whether its file is there.
        acknowledged: how many of its records are in its UID file; None if there is no such file.
        tail: what stands behind them.
        uids: by which name its uids are kept.
        done: where its proof is.
    """

    frame: bool
    acknowledged: int | None
    tail: bytes
    uids: Literal["", "seen", "final"]
    done: Literal["", "single", "day", "both"]


lefts = st.builds(
    Left,
    st.booleans(),
    st.none() | st.integers(0, 4),
    st.sampled_from([b"", b'"u', b"\0\0\0", b'\0\0u"\n', b'"u1" "u2"\n"x', b"\xff\n"]),
    st.sampled_from(["", "seen", "final"]),
    st.sampled_from(["", "", "single", "day", "both"]),
)


def leave(made: World, frame: int, left: Left) -> None:
    """Write the files, and store in the receiver what was acknowledged."""
    space, portion = made.space, Portion(frame)
    own = [known.record for known in made.history.records if known.frame == frame]
    making = Making(space.frames.file(portion))
    for record in own:
        making.add(record["uid"], record, dumps(record))
    end = End(space.grid.iso(frame), 0, making.digest.count, making.digest.hex, 1.0)
    making.finish(end)
    if left.uids:
        folder = space.seen if left.uids == "seen" else space.final
        making.gathered.write(folder.file(portion), 1, bytearray(b"\1" * len(own)), None)
    if not left.frame:
        space.frames.file(portion).unlink()
    if left.acknowledged is not None:
        sent = own if left.done else own[: left.acknowledged]
        text = b"".join(json.dumps(record["uid"]).encode() + b"\n" for record in sent)
        space.uids.file(portion).write_bytes(text + left.tail)
        made.stored.update((record["uid"], record) for record in sent)
    if left.done:
        made.stored.update((record["uid"], record) for record in own)
        proofs = Proofs(space)
        done = Done(space.grid.iso(frame), end.count, end.digest, source_digest=end.digest)
        proofs.add(portion, done)
        if left.done != "single":
            proofs.compact(time.time() + 2 * 86_400)
        if left.done == "both":
            proofs.add(portion, done)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 4), lefts), min_size=1, max_size=5), faults, st.integers(0, 2**32))
def test_from_any_state_that_a_crash_can_leave_every_frame_is_done_once(
    states: list[tuple[int, Left]], planned: list[Fault], seed: int
) -> None:
    records = [
        Known(f"u{frame}-{number}", frame, 0.0, frame, twice=False)
        for frame, (count, _) in enumerate(states)
        for number in range(count)
    ]
    history = History(len(states), tuple(records), seed)
    with world(history, []) as made:
        for frame, (_, left) in enumerate(states):
            leave(made, frame, left)
        for name in ("sss/frames/.20261126T000000Z.jsonl", "sss/seen/.x.seen", "rss/done/.1.json"):
            (made.space.root / name).write_bytes(b"torn")
        made.disk.faults, made.planned = list(planned), tuple(planned)
        run(made)
        made.check()


SEVERAL = History(3, LATE, seed=7)


@pytest.mark.long
@pytest.mark.parametrize(
    ("place", "first"),
    [("snk.pipeline.framefile.sync_folder", 20), ("snk.pipeline.holding.sync_folder", 150)],
    ids=["when a frame is stored", "when it is removed"],
)
def test_names_that_are_not_forced_to_disk_would_lose_records(place: str, first: int) -> None:
    def tried() -> None:
        for at in range(first, first + 100):
            ended(dataclasses.replace(SEVERAL, seed=at), [Fault(at, "machine")], hooked=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, lambda _: None)
        with pytest.raises(AssertionError):
            tried()
