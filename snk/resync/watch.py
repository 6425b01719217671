"""Checks every project again and again, and keeps what the last check of each found."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from snk.core.backoff import Backoff
from snk.errors import ProjectUnfit, SnkError
from snk.log import Reminder
from snk.resync.check import Checked
from snk.resync.report import MOST_LINES, Details, conclusion, details_of
from snk.resync.run import Place, sides

MOST_DIFFERENCES = 20_000
"""So many are kept of all projects together; of those beyond, the number is known."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the last check of a project found.

    Attributes:
        differences: how many there are of each kind.
        unreadable: how many counters are unreadable.
        summary: the result in one line.
        checked_at: seconds since the epoch.
    """

    project: str
    method: str
    equal: bool
    differences: Mapping[str, int]
    unreadable: int
    summary: str
    checked_at: float


@dataclass(frozen=True, slots=True)
class WatchStatus:
    """What is known now.

    Attributes:
        projects: the last verdict on each project.
        trouble: why the last round failed; empty if it succeeded.
        rounds: how many rounds succeeded.
        round_seconds: how long the last of them took.
    """

    projects: tuple[Verdict, ...] = ()
    trouble: str = ""
    rounds: int = 0
    round_seconds: float = 0.0

    @property
    def healthy(self) -> bool:
        """Whether the last round succeeded and found all projects equal."""
        return bool(self.rounds) and not self.troubles

    @property
    def differences(self) -> dict[str, int]:
        """How many differences and unreadable counters each project has that has any."""
        found = {each.project: sum(each.differences.values()) + each.unreadable for each in self.projects}
        return {project: count for project, count in found.items() if count}

    @property
    def troubles(self) -> list[str]:
        """Why it is not healthy."""
        told = [f"{each.project}: {each.summary}" for each in self.projects if not each.equal]
        return [*([self.trouble] if self.trouble else []), *told, *([] if self.rounds else ["no round has ended yet"])]


@dataclass(slots=True)
class Watch:
    """The rounds of checks.

    Attributes:
        every_seconds: from the start of one round to the start of the next.
        details: what the last check of each project found, one by one.
        ended: told after each round that succeeded.
    """

    place: Place
    every_seconds: float
    details: dict[str, Details] = field(default_factory=dict)
    ended: Callable[[WatchStatus], None] = lambda _: None
    _status: WatchStatus = field(default_factory=WatchStatus)
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)

    def status(self) -> WatchStatus:
        """What is known now."""
        return self._status

    def check_now(self) -> None:
        """Begin the next round at once; if one is under way, right after it."""
        self._wanted.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Check until told to stop; trouble with a server is logged, and the next round tries again."""
        backoff, reminder = Backoff(most_seconds=self.every_seconds), Reminder()
        while not stop.is_set():
            began = time.monotonic()
            self._wanted.clear()
            try:
                await self._round(began)
                backoff, wait = Backoff(most_seconds=self.every_seconds), self.every_seconds
                reminder.over()
            except SnkError as error:
                wait = backoff.wait_seconds(random.random())  # noqa: S311 - jitter
                backoff = backoff.failed()
                self._status = WatchStatus(self._status.projects, str(error), self._status.rounds)
                if reminder.due(str(error)):
                    log.warning("round_failed", error=str(error), effect="trying again")
            await _first_of(stop, self._wanted, max(0.0, wait - (time.monotonic() - began)))

    async def _round(self, began: float) -> None:
        before = {each.project: each for each in self._status.projects}
        found: list[Verdict] = []
        details, room = dict[str, Details](), MOST_DIFFERENCES
        async with sides(self.place) as both:
            unfit: list[str] = []
            async for checked in both.checker.check_all():
                if isinstance(checked, ProjectUnfit):
                    unfit.append(str(checked))
                    continue
                found.append(_verdict(checked))
                details[checked.held.project] = details_of(checked, min(MOST_LINES, room))
                room = max(0, room - len(checked.differences))
                _tell(found[-1], before.get(checked.held.project))
        trouble = "; ".join(unfit)
        if trouble and trouble != self._status.trouble:
            log.warning("projects_unfit", error=trouble, effect="the others are checked")
        self._status = WatchStatus(tuple(found), trouble, self._status.rounds + 1, time.monotonic() - began)
        self.details = details
        self.ended(self._status)


async def _first_of(stop: asyncio.Event, wanted: asyncio.Event, seconds: float) -> None:
    """Wait for one of two events, for so many seconds at most."""
    waits = [asyncio.create_task(event.wait()) for event in (stop, wanted)]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()


def _verdict(checked: Checked) -> Verdict:
    kinds = dict(Counter(str(each.kind) for each in checked.differences))
    held = checked.held
    summary = conclusion(checked)
    return Verdict(held.project, held.method, checked.equal, kinds, len(checked.unreadable), summary, time.time())


def _tell(now: Verdict, before: Verdict | None) -> None:
    """Log a project whose verdict is not what it was."""
    if before is None or before.summary != now.summary:
        tell = log.info if now.equal else log.warning
        tell("project_checked", project=now.project, equal=now.equal, result=now.summary)
