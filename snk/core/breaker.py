"""Whether a server may be sent requests, and how many at once. Pure.

A circuit breaker (Michael Nygard, "Release It!", 2007): failures open it, and after a delay one line goes out as a
probe. If the probe succeeds, it closes. The number of requests at once halves when an answer is late and grows by one
with each success, much as TCP's congestion window does (Chiu and Jain, 1989), so that a slow backend is not flooded for
ever.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal

from snk.core.backoff import Backoff

State = Literal["closed", "tripped", "paused"]
MOST_FAILING = 5
"""So many different lines must fail, with no success in between, before all others wait."""
MOST_TIMES = 8
"""How many times as long as usual an answer is waited for while answers come late."""


@dataclass(slots=True)
class Breaker:
    """The breaker of one backend.

    Attributes:
        most: requests at once while all is well.
        backoff: the delays.
        slots: requests at once now.
        patience: how many times the usual time an answer is waited for.
        state: ``paused`` by an answer that a person must see to, ``tripped`` by failures, or ``closed``.
        reason: why it is open.
        until: when the next probe may go out, in seconds of the caller's clock.
    """

    most: int
    backoff: Backoff
    slots: int = 0
    patience: int = 1
    state: State = "closed"
    reason: str = ""
    until: float = 0.0
    _failing: set[Hashable] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.slots = self.most

    def admits(self, under_way: int, now: float) -> bool:
        """Whether one more request may go out while so many are under way."""
        if self.state == "closed":
            return under_way < self.slots
        return under_way == 0 and now >= self.until

    def succeeded(self) -> bool:
        """The backend answered a line as it should; return whether the breaker was open."""
        if self.state == "closed" and self.slots == self.most and self.patience == 1 and not self._failing:
            return False  # as nearly always
        was_open = self.state != "closed"
        self.state, self.reason, self.patience = "closed", "", 1
        self.slots = 1 if was_open else min(self.most, self.slots + 1)
        self.backoff = Backoff(self.backoff.first_seconds, self.backoff.most_seconds)
        self._failing.clear()
        return was_open

    def failed(self, line: Hashable, reason: str, now: float, chance: float) -> None:
        """A line failed: so many different ones in a row that no more are sent, or the probe."""
        self._failing.add(line)
        if self.state != "closed" or len(self._failing) >= MOST_FAILING:
            self._open(self.state if self.state == "paused" else "tripped", reason, now, chance)

    def trip(self, reason: str, now: float, chance: float) -> None:
        """The server as a whole failed, such as one that cannot be reached."""
        self._open(self.state if self.state == "paused" else "tripped", reason, now, chance)

    def late(self) -> None:
        """No answer came in time: fewer at once, and more patience."""
        self.slots = max(1, self.slots // 2)
        self.patience = min(MOST_TIMES, self.patience * 2)

    def pause(self, reason: str, now: float, chance: float) -> None:
        """The backend gave an answer that a person must see to."""
        self._open("paused", reason, now, chance)

    def wait(self, seconds: float, reason: str, now: float) -> None:
        """The backend asked to be left alone for a while."""
        if self.state == "closed":
            self.state = "tripped"
        self.reason, self.until = reason, max(self.until, now + seconds)

    def _open(self, state: State, reason: str, now: float, chance: float) -> None:
        self.state, self.reason, self.slots = state, reason, 1
        self.until = max(self.until, now + self.backoff.wait_seconds(chance))
        self.backoff = self.backoff.failed()
