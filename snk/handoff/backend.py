"""One backend: its logs, the lines that wait to be sent or are under way, and what is known about it.

A line that got no answer is *doubtful*: it may hang again, for as long as an answer is waited for. Doubtful lines have
a queue and a share of the slots of their own, so that a few that hang for ever do not hold up all others.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from snk.core.breaker import Breaker
from snk.handoff.logfile import LogFile
from snk.handoff.request import Write

MOST_LINES = 1000
MOST_BYTES = 8 * 2**20
"""When one backend has so many lines or bytes in memory, nothing more of its logs is read."""
LOW_LINES = 100
"""With fewer lines that can be sent, more are read, if there is room."""
MOST_LOSSES = 5
"""A line without an answer so often in a row is not sent again by a server that ends by itself."""
TOLD_LOSSES = 3
"""A line without an answer so often in a row is told as a trouble."""
DOUBTFUL_SHARE = 4
"""Doubtful lines may take one slot, or one of so many."""
STUCK_SECONDS = 30.0


@dataclass(slots=True, eq=False)
class Item:
    """A line on its way.

    Attributes:
        number: of the line in its log; the first is 0.
        text: the line as it is in the log.
        tries: how often the backend refused it for a while.
        losses: how often in a row there was no answer.
        settled: whether it is done, or a dead letter.
    """

    log: LogFile
    number: int
    text: bytes
    write: Write
    tries: int = 0
    losses: int = 0
    settled: bool = False


@dataclass(slots=True)
class Counts:
    """What became of lines since the start.

    Attributes:
        processed: lines that were read from logs.
        synced: lines that are done.
        dead: lines that became dead letters.
        expired: lines that are done because their time to live was over.
        unknown: requests whose answer was lost.
        unknown_adds: those of them that may have changed the backend twice.
        again: lines that were sent again.
        lost: lines of logs that vanished before they were sent.
    """

    processed: int = 0
    synced: int = 0
    dead: int = 0
    expired: int = 0
    unknown: int = 0
    unknown_adds: int = 0
    again: int = 0
    lost: int = 0


@dataclass(eq=False)
class Backend:
    """One backend.

    Attributes:
        name: its host and port.
        logs: its logs, by name.
        alive: whether it said that it is alive when it was last asked; None before that.
        held: whether a person has paused it.
        held_since: when, in seconds since the epoch.
        ends: whether the server ends by itself, so that a line is not sent for ever.
        closing: whether the server is stopping, so nothing more is sent.
        reading: whether lines of a log are being taken into memory.
        last_error: the last thing that went wrong.
        undeletable: finished logs that cannot be deleted, and why.
        under_way: lines that workers have: sent and not answered, or on their way to a dead letter.
        candidates: the names of logs that may be finished.
        wake_reader: set when there may be something to read, or room for it.
        wake_checker: set when it should be asked now whether it is alive.
    """

    name: str
    breaker: Breaker
    writable: Callable[[], bool]
    logs: dict[str, LogFile] = field(default_factory=dict)
    alive: bool | None = None
    held: bool = False
    held_since: float = 0.0
    ends: bool = False
    closing: bool = False
    reading: bool = False
    last_error: str = ""
    counts: Counts = field(default_factory=Counts)
    undeletable: dict[str, str] = field(default_factory=dict)
    under_way: int = 0
    candidates: set[str] = field(default_factory=set)
    wake_reader: asyncio.Event = field(default_factory=asyncio.Event)
    wake_checker: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._ready: deque[Item] = deque()
        self._doubtful: deque[Item] = deque()
        self._doubted: set[Item] = set()
        self._resting: Item | None = None
        self._unanswered: dict[Item, None] = {}
        self._by_key: dict[bytes, deque[Item]] = {}
        self._idle: deque[asyncio.Future[None]] = deque()
        self._unread: list[str] = []
        self._offered: set[str] = set()
        self._postponed: dict[Item, None] = {}
        self._lines = 0
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._moved = time.monotonic()

    @property
    def sendable(self) -> bool:
        """Whether anything may be sent, were the breaker closed."""
        return bool(self.alive) and not (self.held or self.closing) and self.writable()

    @property
    def state(self) -> str:
        """Its state in one word."""
        if self.held:
            return "held"
        if not self.writable():
            return "waiting for the disk"
        if self.alive is None:
            return "unknown"
        if not self.alive:
            return "down"
        return "alive" if self.breaker.state == "closed" else self.breaker.state

    @property
    def at_rest(self) -> bool:
        """Whether nothing will be settled soon."""
        if self.alive is None or self.under_way or self.reading or not self.writable():
            return False
        if not self.sendable or self.breaker.state != "closed":
            return True
        hopeless = all(item.losses >= MOST_LOSSES for item in self._postponed)
        return not (self._ready or self._doubtful or self._offered) and hopeless

    @property
    def stuck(self) -> bool:
        """Whether lines could be sent, and none was for long: something in here hangs."""
        now = time.monotonic()
        could = bool(self._ready) and self.sendable and self.breaker.admits(self.under_way - len(self._doubted), now)
        return could and now - self._moved > STUCK_SECONDS

    @property
    def unanswered(self) -> list[Item]:
        """The lines that got no answer several times in a row, in the order of their logs."""
        found = [item for item in self._unanswered if item.losses >= TOLD_LOSSES]
        return sorted(found, key=lambda item: (item.log.name, item.number))

    @property
    def left(self) -> bool:
        """Whether anything is left to be sent."""
        return any(file.unread or file.pending for file in self.logs.values())

    @property
    def pending(self) -> int:
        """How many lines are not settled."""
        return sum(log.pending for log in self.logs.values())

    @property
    def roomy(self) -> bool:
        """Whether more lines may be taken into memory."""
        return self._lines < MOST_LINES and self._bytes < MOST_BYTES

    def offer(self, name: str) -> None:
        """There may be something to read in this log."""
        if name not in self._offered:
            self._offered.add(name)
            heappush(self._unread, name)
        self.wake_reader.set()

    def unread(self) -> LogFile | None:
        """The first log in the order of names that has something to read; it is offered no more."""
        while self._unread:
            name = heappop(self._unread)
            self._offered.discard(name)
            if (file := self.logs.get(name)) is not None and file.unread:
                return file
        return None

    def take(self, item: Item) -> None:
        """Take a line into memory; it is sent when those of its key before it are settled."""
        self._lines += 1
        self._bytes += len(item.text)
        item.log.under_way += 1
        key = item.write.key
        if key in self._by_key:
            self._by_key[key].append(item)
        else:
            self._by_key[key] = deque()
            self._ready.append(item)
            self._wake_one()

    async def next(self) -> Item:
        """The next line to send; waits until there is one and it may be sent."""
        while (item := self._choose() if self.sendable else None) is None:
            self._wait_for_the_breaker()
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            try:
                await waiter
            finally:
                if not waiter.done():
                    self._idle.remove(waiter)
        self.under_way += 1
        self._moved = time.monotonic()
        return item

    def _choose(self) -> Item | None:
        """The next line; None if none may be sent now."""
        now = time.monotonic()
        if self._doubtful and self._may_doubt(now):
            item = self._doubtful.popleft()
            self._doubted.add(item)
            return item
        if self._ready and self.breaker.admits(self.under_way - len(self._doubted), now):
            return self._ready.popleft()
        return None

    def _may_doubt(self, now: float) -> bool:
        """Whether a doubtful line may be sent. As a probe, it is one only if there is no other line."""
        breaker = self.breaker
        if self._resting is not None or len(self._doubted) >= max(1, breaker.slots // DOUBTFUL_SHARE):
            return False
        return breaker.state == "closed" or (not self._ready and breaker.admits(self.under_way, now))

    def lost_answer(self, item: Item) -> None:
        """There was no answer to a line."""
        item.losses += 1
        self._unanswered[item] = None
        if self.breaker.most == 1:
            self._resting = item  # while it was waited for, nothing else could be sent: so that is next

    def answered(self, item: Item) -> None:
        """A line that had got no answer has got one, or needs none any more."""
        item.losses = 0
        self._unanswered.pop(item, None)

    def settled(self, item: Item) -> None:
        """A line is done, or a dead letter: the next of its key may go."""
        item.settled = True
        if item.losses:
            self.answered(item)
        self._back(item)
        self._lines -= 1
        self._bytes -= len(item.text)
        item.log.under_way -= 1
        if not item.log.under_way:
            self.candidates.add(item.log.name)
        followers = self._by_key[item.write.key]
        if followers:
            self._ready.append(followers.popleft())
        else:
            del self._by_key[item.write.key]
        if self._lines < MOST_LINES // 2 or (len(self._ready) < LOW_LINES and self.roomy):
            self.wake_reader.set()
        self._wake_one()

    def postpone(self, item: Item, seconds: float) -> None:
        """Send a line again later, behind all that can be sent then; those of its key after it wait."""
        self._back(item)
        self._postponed[item] = None
        if self.ends and item.losses >= MOST_LOSSES:
            self._resting = None
        else:
            self.counts.again += 1
            asyncio.get_running_loop().call_later(seconds, self._again, item)
        self._wake_one()

    def give_back(self, item: Item) -> None:
        """Send a line again as soon as anything is sent: it keeps its place."""
        self._back(item)
        self._queue_of(item).appendleft(item)
        self._wake_one()

    def died(self) -> None:
        """It cannot be reached: ask whether it is alive, and send nothing before it says so."""
        self.alive = False
        self.wake_checker.set()

    def wake(self) -> None:
        """Make the reader and all waiting workers check again whether they can go on."""
        self.wake_reader.set()
        while self._idle:
            self._wake_one()

    def chance(self) -> float:
        """A random number in [0, 1)."""
        return random.random()  # noqa: S311 - spreads retries in time

    def _back(self, item: Item) -> None:
        """A line is no longer under way."""
        self.under_way -= 1
        if self._doubted:
            self._doubted.discard(item)

    def _queue_of(self, item: Item) -> deque[Item]:
        return self._doubtful if item.losses else self._ready

    def _again(self, item: Item) -> None:
        self._postponed.pop(item, None)
        if self._resting is item:
            self._resting = None
        self._queue_of(item).append(item)
        self._wake_one()

    def _wake_one(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _wait_for_the_breaker(self) -> None:
        """If only time keeps the next line back, look again when it has passed."""
        wait = self.breaker.until - time.monotonic()
        if (self._ready or self._doubtful) and self.breaker.state != "closed" and wait > 0 and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        self._wake_one()
