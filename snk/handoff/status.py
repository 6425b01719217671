"""What is known of the sync server at one moment."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from snk.core.words import counted
from snk.handoff.backend import Backend, Counts
from snk.handoff.names import minute_of
from snk.handoff.server import Server

HELD_TOO_LONG_SECONDS = 3600.0
"""A person who paused a backend for so long, while lines wait, has perhaps forgotten it."""
RATE_SECONDS = 10.0
"""Rates are those of the last so many seconds."""


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """One backend.

    Attributes:
        state: ``alive``, ``down``, ``tripped`` by failures, ``paused`` by an answer, ``held`` by a person,
            ``waiting for the disk``, or ``unknown`` before it was asked.
        breaker: ``closed`` if lines may be sent, ``tripped`` by failures, or ``paused`` by an answer, whatever else
            keeps lines from being sent.
        reason: why it is not alive.
        held_seconds: how long `snk handoff pause` has held it; 0 if it does not.
        pending_lines: whole lines that are neither done nor dead letters.
        pending_bytes: of the logs that hold them.
        oldest_seconds: the age of the oldest log that holds some; 0 if there is none.
        lines_per_second: done lately.
        in_flight: requests under way.
        slots: how many may be under way.
        logs: how many logs there are.
        dead: dead letters.
        unanswered: lines that got no answer several times in a row.
        unanswered_most: how often the one did that got none most often.
        unanswered_oldest: the log and the number of the oldest one, such as ``2023-11-14-22-13.log:7``.
        undeletable: finished logs that cannot be deleted, and why.
    """

    state: str
    breaker: str
    reason: str
    held_seconds: float
    pending_lines: int
    pending_bytes: int
    oldest_seconds: float
    lines_per_second: float
    in_flight: int
    slots: int
    logs: int
    dead: int
    unanswered: int
    unanswered_most: int
    unanswered_oldest: str
    last_error: str
    undeletable: dict[str, str]
    counts: Counts

    @property
    def as_json(self) -> dict[str, Any]:
        """All of it, the counts among the rest."""
        told = asdict(self)
        counts = told.pop("counts")
        counts["died"] = counts.pop("dead")
        return {**told, **counts}

    def troubles(self, name: str) -> Iterator[str]:
        """What somebody should see to; ``name`` is that of the backend."""
        waits = f"{counted(self.pending_lines, 'line')} {'waits' if self.pending_lines == 1 else 'wait'}"
        if self.state in ("down", "tripped", "paused") and self.pending_lines:
            yield f"{name} is {self.state}, {waits}: {self.reason}"
        elif self.state == "paused":
            yield f"{name} is paused: {self.reason}"
        elif self.state == "held" and self.pending_lines and self.held_seconds >= HELD_TOO_LONG_SECONDS:
            held = f"{self.held_seconds / 3600:.0f} h"
            yield f"{name} is paused by hand for {held}, {waits}; `snk handoff resume {name}` takes the pause back"
        if self.unanswered:
            lines, times = counted(self.unanswered, "line"), self.unanswered_most
            yield f"{name}: {lines} got no answer {times} times; the oldest is {self.unanswered_oldest}"
        if self.dead:
            yield f"{name} has {counted(self.dead, 'dead letter')}"
        if self.undeletable:
            yield f"{name}: finished logs cannot be deleted: {next(iter(self.undeletable.values()))}"
        if lost := self.counts.lost:
            yield f"{name}: {counted(lost, 'line')} vanished with their logs before they were sent"


@dataclass(frozen=True, slots=True)
class Status:
    """The server.

    Attributes:
        disk: why nothing can be written; empty if it can.
        quarantined: files of progress that could not be used, and are kept for a person.
        ignored: what lies in the folder of logs and is no log, and why.
        unreadable: folders that cannot be read, and why.
    """

    backends: dict[str, BackendStatus]
    disk: str
    ignored: dict[str, str]
    unreadable: dict[str, str]
    limits: tuple[str, ...]
    quarantined: int = 0

    @property
    def troubles(self) -> list[str]:
        """What somebody should see to."""
        found = [f"nothing can be written: {self.disk}"] if self.disk else []
        found += [f"{name} cannot be read: {why}" for name, why in self.unreadable.items()]
        for name, backend in self.backends.items():
            found += backend.troubles(name)
        return [*found, *self.limits]


@dataclass(frozen=True, slots=True)
class Limits:
    """When an alarm is raised; 0 is never."""

    size: int = 0
    age_seconds: float = 0


class Watcher:
    """Takes the status of a server."""

    def __init__(self, server: Server, limits: Limits) -> None:
        self._server = server
        self._limits = limits
        self._samples: dict[str, deque[tuple[float, int]]] = {}

    def status(self) -> Status:
        """The status now."""
        server = self._server
        backends = {
            name: self._of(name, lane.backend, server.letters.count(name))
            for name, lane in sorted(server.lanes.items())
        }
        found = server.monitor.last
        limits = tuple(self._reached(backends))
        disk, aside = server.durable.trouble, server.state.quarantined
        return Status(backends, disk, found.ignored, found.unreadable, limits, aside)

    def _of(self, name: str, backend: Backend, dead: int) -> BackendStatus:
        waiting = [file for file in backend.logs.values() if file.pending or file.unread]
        minute = minute_of(min((file.name for file in waiting), default=""))
        age = max(0.0, (datetime.now() - minute).total_seconds()) if minute else 0.0  # noqa: DTZ005 - local, as names are
        reason = backend.breaker.reason or ("" if backend.alive else backend.last_error)
        unanswered = backend.unanswered
        return BackendStatus(
            backend.state,
            backend.breaker.state,
            reason,
            max(0.0, time.time() - backend.held_since) if backend.held else 0.0,
            backend.pending,
            sum(file.size for file in waiting),
            age,
            self._rate(name, backend.counts.synced),
            backend.under_way,
            backend.breaker.slots,
            len(backend.logs),
            dead,
            len(unanswered),
            max((item.losses for item in unanswered), default=0),
            f"{unanswered[0].log.name}:{unanswered[0].number + 1}" if unanswered else "",
            backend.last_error,
            backend.undeletable,
            backend.counts,
        )

    def _rate(self, name: str, synced: int) -> float:
        now = time.monotonic()
        samples = self._samples.setdefault(name, deque([(now, synced)]))
        samples.append((now, synced))
        while len(samples) > 2 and samples[1][0] < now - RATE_SECONDS:  # noqa: PLR2004 - one from before, and the last
            samples.popleft()
        passed = now - samples[0][0]
        return (synced - samples[0][1]) / passed if passed > 0 else 0.0

    def _reached(self, backends: dict[str, BackendStatus]) -> list[str]:
        size, age = self._limits.size, self._limits.age_seconds
        found = []
        for name, backend in backends.items():
            if size and backend.pending_bytes >= size:
                found.append(f"{name}: {backend.pending_bytes:,} bytes wait, and handoff.limit_bytes is {size:,}")
            if age and backend.oldest_seconds >= age:
                found.append(
                    f"{name}: lines wait for {backend.oldest_seconds:.0f} s; handoff.limit_age_seconds is {age:g}"
                )
        return found
