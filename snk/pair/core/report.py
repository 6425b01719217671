"""The daemon's status as values: `snk status`, ``/status`` and ``/metrics`` show exactly these."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

STANDING_SECONDS = 30.0
"""A flow without progress for this long is unhealthy: a healthy one looks at its mark twice a second, or retries."""

STUCK_SECONDS = 90.0
"""A flow without progress for this long hangs: no statement may take this long."""

FlowState = Literal["starting", "standby", "running", "waiting", "paused", "stopped"]
FLOWING: Collection[FlowState] = ("running", "standby")


@dataclass(frozen=True, slots=True)
class Blocker:
    """A transaction that holds holes open.

    Attributes:
        writer: its virtual transaction id.
        pid: its backend, or None for a prepared transaction.
        age_seconds: how long the transaction has been open, if SNK's role may see it.
        prepared: the name of a prepared transaction.
    """

    writer: str
    pid: int | None
    user: str | None
    application: str | None
    state: str | None
    age_seconds: float | None
    prepared: str | None


def trouble_of(name: str, state: FlowState, *, awaits: Sequence[str], error: str, progress_seconds: float) -> str:
    """Why a flow is unhealthy, or an empty string. A flow that waits for others is healthy while these are.

    The arguments are the attributes of `FlowStatus`.
    """
    if awaits:
        return ""
    if state not in FLOWING:
        return f"{name} is {state}: {error}" if error else f"{name} is {state}"
    if progress_seconds > STANDING_SECONDS:
        return f"{name} has not moved for {progress_seconds:.0f} s"
    return ""


@dataclass(frozen=True, slots=True)
class FlowStatus:
    """One direction of one table.

    Attributes:
        state: ``running``; ``standby`` if another daemon works on the table; ``waiting`` for an unavailable server;
            ``paused`` until a person changes something.
        high: the greatest id read at the source.
        safe: the greatest high known to be durable at the source.
        version: version of the mark in the destination.
        hole_ids: how many ids below high were never seen and may still appear.
        holes: how many intervals these ids form.
        holes_seconds: how long there have been holes without interruption.
        blockers: the transactions that hold the holes open.
        lag_seconds: everything that was visible at the source this long ago is in the destination. While the flow is
            idle, the source's server checks for rows every few milliseconds, and this is 0 as long as it finds none.
        lag_rows: ids between high and the greatest id at the source: the maximum number of waiting rows.
        delivered: rows inserted into the destination since the daemon started.
        echoes: rows recognised as written by SNK itself.
        present: rows that the destination already held, found by its unique key.
        conflicts: uuids with two different rows; all that are recorded in the destination.
        rejected: rows that the destination refuses or the source cannot return; they are set aside in ``snk.rejected``
            there and retried.
        wanted: rows that a sweep found missing in the destination, and that are not delivered yet.
        late: rows that appeared in holes after these were given up, and were delivered anyway.
        leader: name of the daemon that works on this table, or an empty string if there is none.
        rows_per_second: delivery rate over the last seconds.
        progress_seconds: time since the flow last finished a step or, if it waits, last tried.
        awaits: the tables whose flows the current rows wait for, because they refer to rows of these tables.
        error: the last error, or an empty string.
        error_seconds: how long ago it occurred.
        notice: what a person should know about a running flow, such as triggers that change what it delivers.
    """

    table: str
    source: str
    destination: str
    state: FlowState
    high: int
    safe: int
    version: int
    hole_ids: int
    holes: int
    holes_seconds: float
    blockers: tuple[Blocker, ...]
    lag_seconds: float
    lag_rows: int
    delivered: int
    echoes: int
    present: int
    conflicts: int
    rejected: int
    wanted: int
    late: int
    leader: str
    rows_per_second: float
    progress_seconds: float
    awaits: tuple[str, ...]
    error: str
    error_seconds: float | None
    notice: str

    @property
    def name(self) -> str:
        """Such as ``public.records first→second``."""
        return f"{self.table} {self.source}→{self.destination}"

    @property
    def flowing(self) -> bool:
        """Whether rows flow, delivered by this daemon or by the one for which it is a standby."""
        return self.state in FLOWING

    @property
    def trouble(self) -> str:
        """Why it is unhealthy, or an empty string."""
        return trouble_of(
            self.name, self.state, awaits=self.awaits, error=self.error, progress_seconds=self.progress_seconds
        )


@dataclass(frozen=True, slots=True)
class Locker:
    """A session that holds a lock for which SNK waits.

    Attributes:
        side: ``first`` or ``second``.
        waiting_seconds: how long SNK's statement has been running.
        age_seconds: how long the holder's transaction has been open, if SNK's role may see it.
    """

    side: str
    pid: int
    user: str | None
    application: str | None
    state: str | None
    age_seconds: float | None
    waiting_seconds: float


@dataclass(frozen=True, slots=True)
class CanaryStatus:
    """A heartbeat in one direction.

    Attributes:
        trip_seconds: how long the last one took from one side to the other; None before the first has arrived.
        landed_seconds: how long ago it arrived.
        late: whether the next one should have arrived by now.
        error: why the last one could not be sent, or an empty string.
    """

    source: str
    destination: str
    trip_seconds: float | None
    landed_seconds: float
    late: bool
    error: str


@dataclass(frozen=True, slots=True)
class DedupStatus:
    """The set of uuids by which echoes are recognised.

    Attributes:
        size: entries in memory, of all tables and directions.
        redis: whether it is currently copied to Redis.
        error: why not, or an empty string.
    """

    size: int
    redis: bool
    error: str


AskedState = Literal["waiting", "running", "equal", "different", "failed"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of a comparison that somebody asked for.

    Attributes:
        state: ``waiting`` until the flows have caught up; ``running``; ``equal`` once both sides are proven equal;
            ``different`` if they were not yet, and are compared again soon; ``failed`` if that is tried again.
        missing: rows that one side lacked, in all sweeps since; they are brought over.
        different: rows that were found to differ since; they are recorded as conflicts.
    """

    state: AskedState = "waiting"
    missing: int = 0
    different: int = 0


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """The results of the sweeps of one table.

    Attributes:
        state: ``off``, ``waiting`` for the next sweep, or ``running``.
        proven_seconds: how long ago both sides were last proven equal, except for rows that are set aside or in
            conflict; None if they were not since the daemon took over the table.
        up_to_first: the mark of the flow from first when that sweep began; it covered rows up to this mark.
        up_to_second: the same for the flow from second.
        rows: how many rows the last sweep covered.
        found: rows that tailing had missed, in all sweeps; they were delivered.
        set_aside: rows that differed in the last sweep and are set aside or in conflict.
        seconds: how long the last sweep took.
        error: why the last sweep failed, or an empty string.
        progress: the share of the running sweep's pass over the table that is done, from 0 to 1; None if none runs.
        asked: what became of the comparison that was asked for last; None if none was.
    """

    table: str
    state: str
    proven_seconds: float | None
    up_to_first: int
    up_to_second: int
    rows: int
    found: int
    set_aside: int
    seconds: float | None
    error: str
    progress: float | None = None
    asked: Asked | None = None


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """The whole daemon.

    Attributes:
        name: its host and process.
        first: address of database A, without user and password.
        second: address of database B.
        canaries: heartbeats in both directions; empty if the settings disable them.
        lockers: the sessions that hold locks for which SNK waits.
        troubles: why the daemon is unhealthy; empty if it is healthy.
        left_out: the tables that only a pattern in SNK_TABLES matches and that cannot be synced, with the reason.
    """

    version: str
    name: str
    uptime_seconds: float
    first: str
    second: str
    flows: tuple[FlowStatus, ...]
    sweeps: tuple[SweepStatus, ...]
    canaries: tuple[CanaryStatus, ...]
    lockers: tuple[Locker, ...]
    dedup: DedupStatus
    troubles: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def stuck(self) -> bool:
        """Whether a flow neither makes progress nor retries."""
        return any(flow.progress_seconds > STUCK_SECONDS for flow in self.flows)

    @property
    def healthy(self) -> bool:
        """Whether rows flow in every direction."""
        return not self.troubles
