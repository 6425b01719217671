"""The story of one row: where it is and since when, and what keeps it from being on both sides. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from snk.core.intervals import NOTHING, Intervals
from snk.pair.core.report import Blocker
from snk.pair.repair.actions import Label


@dataclass(frozen=True, slots=True)
class Seen:
    """A row on one side.

    Attributes:
        row: its values by column, in PostgreSQL's text form; None if there is no such row.
        id: the id by which SNK reads it there.
        committed_at: when it was committed there, if the server keeps commit times (track_commit_timestamp).
    """

    label: Label
    row: dict[str, str | None] | None = None
    id: int | None = None
    committed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Aside:
    """Why a row was set aside."""

    error: str
    tries: int
    next_at: datetime


@dataclass(frozen=True, slots=True)
class Way:
    """What is known about the way from one side to the other.

    Attributes:
        high: the greatest id that was read at the source; None if this table was never synced that way.
        holes: ids below it that were never seen and may still come.
        given_up: ids whose holes were given up; rows may still appear there.
        aside: the row was refused.
        conflict_at: when a conflict about it was recorded.
        blockers: the transactions because of which holes stay open.
    """

    high: int | None = None
    holes: Intervals = NOTHING
    given_up: Intervals = NOTHING
    aside: Aside | None = None
    conflict_at: datetime | None = None
    blockers: tuple[Blocker, ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    """One uuid in one table.

    Attributes:
        ways: to first and to second, by the side that is written.
    """

    table: str
    uuid: str
    first: Seen
    second: Seen
    ways: dict[Label, Way]

    @property
    def equal(self) -> bool:
        """Whether the row is on both sides, and the same."""
        return self.first.row is not None and self.first.row == self.second.row

    def told(self) -> Iterator[str]:
        """The story, sentence by sentence."""
        for side in (self.first, self.second):
            yield _place(side)
        if self.first.row is None and self.second.row is None:
            yield "Neither side has it: it was never committed, or it was deleted on both sides. SNK deletes nothing."
            for way in self.ways.values():
                if way.aside:
                    yield _aside(way.aside)
        elif self.first.row is None or self.second.row is None:
            there, missing = (self.first, self.second) if self.first.row is not None else (self.second, self.first)
            yield from _missing(there, missing.label, self.ways[missing.label])
        elif self.equal:
            yield from _both(self.first, self.second)
        else:
            yield from self._conflict(self.first.row, self.second.row)

    def _conflict(self, first: dict[str, str | None], second: dict[str, str | None]) -> Iterator[str]:
        differing = [name for name in first if first[name] != second[name]]
        yield f"The two rows differ in {', '.join(differing)}. SNK overwrites neither."
        noticed = [way.conflict_at for way in self.ways.values() if way.conflict_at]
        if noticed:
            yield f"The conflict was recorded at {min(noticed):%Y-%m-%d %H:%M:%S} UTC."
        else:
            yield "No conflict is recorded: a row was changed after both were there, or SNK has not met it yet."
        yield f"`snk conflicts resolve {self.uuid} --keep first` (or second) settles it."


def _place(side: Seen) -> str:
    if side.row is None:
        return f"{side.label}: no such row"
    since = f", committed at {side.committed_at:%Y-%m-%d %H:%M:%S.%f} UTC" if side.committed_at else ""
    return f"{side.label}: id {side.id}{since}"


def _aside(aside: Aside) -> str:
    again = f"{aside.next_at:%Y-%m-%d %H:%M:%S} UTC" if aside.next_at.year < 9000 else "when it is asked for"  # noqa: PLR2004
    return (
        f"It was refused {aside.tries} times and is set aside: {aside.error}. SNK tries again {again}; `snk retry` now."
    )


def _both(first: Seen, second: Seen) -> Iterator[str]:
    if not (first.committed_at and second.committed_at):
        yield "Both sides have it, and it is equal: it was delivered."
        yield "Which side had it first is unknown: the servers do not keep commit times (track_commit_timestamp)."
        return
    older, newer = sorted((first, second), key=lambda side: (side.committed_at is None, side.committed_at))
    assert older.committed_at and newer.committed_at  # noqa: S101, PT018 - see above
    delay = (newer.committed_at - older.committed_at).total_seconds()
    yield f"It was written to {older.label}; SNK delivered it to {newer.label} {delay:.3f} s later."
    yield f"The row in {newer.label} is an echo: SNK recognises it as its own and does not send it back."


def _missing(there: Seen, to: Label, way: Way) -> Iterator[str]:
    assert there.id is not None  # noqa: S101 - it is there
    if way.aside:
        yield _aside(way.aside)
    elif way.high is None:
        yield f"SNK has never synced this table to {to}."
    elif there.id > way.high:
        yield f"It was not read yet: SNK has read {there.label} up to id {way.high}. `snk status` tells the lag."
    elif there.id in way.holes:
        yield "It is held back: its id was skipped because of open transactions, and is read again until they end."
        for blocker in way.blockers:
            who = blocker.prepared or f"pid {blocker.pid}, {blocker.user}"
            age = "" if blocker.age_seconds is None else f", open for {blocker.age_seconds:.0f} s"
            yield f"  {who}{age}"
    elif there.id in way.given_up:
        yield "It came late, on an id that had been given up. SNK looks there again, and delivers it."
    else:
        yield f"SNK has counted id {there.id} as delivered, and {to} does not have the row: it was deleted there, or a"
        yield "crash undid it. The next sweep copies it again; `snk verify --repair` does it now."
