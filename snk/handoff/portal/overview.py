"""What the pages show of a status."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

from snk.handoff.backend import Backend
from snk.handoff.logfile import LogFile
from snk.handoff.status import BackendStatus, Status

MOST_BACKENDS = 200
MOST_CARDS = 6
MOST_LOGS = 50
MOST_TROUBLES = 20
WORDS = {
    "alive": "up to date",
    "down": "down",
    "tripped": "circuit open",
    "paused": "paused by an answer",
    "held": "paused by hand",
    "waiting for the disk": "waiting for the disk",
    "unknown": "not asked yet",
}
"""What a person reads about a state."""
LOOKS = {"alive": "good", "held": "warn", "unknown": "warn"}
"""The class of the style sheet that colours a state; all others are bad."""
ORDER = ("bad", "warn", "good")


@dataclass(frozen=True, slots=True)
class BackendRow:
    """A backend as the pages show it."""

    name: str
    status: BackendStatus

    @property
    def word(self) -> str:
        """Its state."""
        if self.status.state == "alive" and self.status.pending_lines:
            return "replaying"
        return WORDS.get(self.status.state, self.status.state)

    @property
    def look(self) -> str:
        """The class that colours its state."""
        return LOOKS.get(self.status.state, "bad")

    @property
    def needs_a_look(self) -> bool:
        """Whether somebody should see to it."""
        return self.look != "good" or any(self.status.troubles(self.name))

    @property
    def troubles(self) -> list[str]:
        """What somebody should see to, without its name."""
        return [each.removeprefix(self.name).lstrip(" :") for each in self.status.troubles(self.name)]


@dataclass(frozen=True, slots=True)
class LogRow:
    """A log as the pages show it.

    Attributes:
        lines: how many whole lines are known of.
        settled: how many of them are done or dead letters.
        state: what happens to it.
    """

    name: str
    size: int
    lines: int
    settled: int
    pending: int
    under_way: int
    state: str
    look: str


def backends(status: Status) -> list[BackendRow]:
    """The backends, the one at which a person should look first before the others."""
    rows = [BackendRow(name, backend) for name, backend in status.backends.items()]
    return sorted(rows, key=lambda row: (ORDER.index(row.look), -row.status.pending_lines, row.name))


def totals(status: Status) -> Mapping[str, Any]:
    """The figures of all backends together."""
    known = status.backends.values()
    summed = ("pending_lines", "pending_bytes", "lines_per_second", "dead", "in_flight", "logs")
    counted = ("processed", "synced", "lost")
    return {
        "backends": len(known),
        "alive": sum(each.state == "alive" for each in known),
        "oldest_seconds": max((each.oldest_seconds for each in known), default=0.0),
        **{name: sum(getattr(each, name) for each in known) for name in summed},
        **{name: sum(getattr(each.counts, name) for each in known) for name in counted},
    }


def logs(backend: Backend) -> list[LogRow]:
    """The oldest logs of a backend: these are read first."""
    names = nsmallest(MOST_LOGS, backend.logs)
    return [_row(backend.logs[name], backend.undeletable.get(name, "")) for name in names]


def _row(file: LogFile, undeletable: str) -> LogRow:
    lines = max(file.counted_lines, file.lines)
    state, look = _state(file, undeletable)
    settled = max(0, lines - file.pending)
    return LogRow(file.name, file.size, lines, settled, file.pending, file.under_way, state, look)


def _state(file: LogFile, undeletable: str) -> tuple[str, str]:
    if file.trouble:
        return f"cannot be read: {file.trouble}", "bad"
    if undeletable:
        return f"cannot be deleted: {undeletable}", "bad"
    if file.under_way:
        return "being sent", "good"
    if file.pending or file.unread:
        return "waits", "warn"
    return "done", "good"


def of_backend(recent: Iterable[Mapping[str, Any]], backend: str) -> list[Mapping[str, Any]]:
    """What was logged about one backend."""
    return [logged for logged in recent if logged.get("backend") == backend]
