"""What is known of the sync server at one moment."""

import time
from collections import deque
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from snk.handoff.backend import Backend, Counts
from snk.handoff.names import minute_of
from snk.handoff.server import Server

RATE_SECONDS = 10.0
"""Rates are those of the last so many seconds."""


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """One backend.

    Attributes:
        state: ``alive``, ``down``, ``tripped`` by failures, ``paused`` by an answer, ``held`` by a person,
            ``waiting for the disk``, or ``unknown`` before it was asked.
        reason: why it is not alive.
        pending_lines: whole lines that are neither done nor dead letters.
        pending_bytes: of the logs that hold them.
        oldest_seconds: the age of the oldest log that holds some; 0 if there is none.
        lines_per_second: done lately.
        in_flight: requests under way.
        slots: how many may be under way.
        logs: how many logs there are.
        dead: dead letters.
        undeletable: finished logs that cannot be deleted, and why.
    """

    state: str
    reason: str
    pending_lines: int
    pending_bytes: int
    oldest_seconds: float
    lines_per_second: float
    in_flight: int
    slots: int
    logs: int
    dead: int
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


@dataclass(frozen=True, slots=True)
class Status:
    """The server.

    Attributes:
        disk: why nothing can be written; empty if it can.
        ignored: what lies in the folder of logs and is no log, and why.
        unreadable: folders that cannot be read, and why.
    """

    backends: dict[str, BackendStatus]
    disk: str
    ignored: dict[str, str]
    unreadable: dict[str, str]
    limits: tuple[str, ...]

    @property
    def troubles(self) -> list[str]:
        """What somebody should see to."""
        found = [f"nothing can be written: {self.disk}"] if self.disk else []
        found += [f"{name} cannot be read: {why}" for name, why in self.unreadable.items()]
        for name, backend in self.backends.items():
            if backend.state in ("down", "tripped", "paused") and backend.pending_lines:
                found.append(f"{name} is {backend.state}, {backend.pending_lines:,} lines wait: {backend.reason}")
            elif backend.state == "paused":
                found.append(f"{name} is paused: {backend.reason}")
            if backend.dead:
                found.append(f"{name} has {backend.dead:,} dead letters")
            if backend.undeletable:
                found.append(f"{name}: finished logs cannot be deleted: {next(iter(backend.undeletable.values()))}")
            if backend.counts.lost:
                found.append(f"{name}: {backend.counts.lost:,} lines vanished with their logs before they were sent")
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
        return Status(backends, server.durable.trouble, found.ignored, found.unreadable, tuple(self._reached(backends)))

    def _of(self, name: str, backend: Backend, dead: int) -> BackendStatus:
        waiting = [file for file in backend.logs.values() if file.pending or file.unread]
        minute = minute_of(min((file.name for file in waiting), default=""))
        age = max(0.0, (datetime.now() - minute).total_seconds()) if minute else 0.0  # noqa: DTZ005 - local, as names are
        reason = backend.breaker.reason or ("" if backend.alive else backend.last_error)
        return BackendStatus(
            backend.state,
            reason,
            backend.pending,
            sum(file.size for file in waiting),
            age,
            self._rate(name, backend.counts.synced),
            backend.under_way,
            backend.breaker.slots,
            len(backend.logs),
            dead,
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
