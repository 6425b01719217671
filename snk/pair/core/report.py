"""What the daemon tells of itself, as values: `snk status`, ``/status`` and ``/metrics`` show these, and no others."""

from dataclasses import dataclass
from typing import Literal

STANDING_SECONDS = 30.0
"""A flow that did nothing for so long is not healthy: it looks at its mark twice a second, and tries again soon."""

STUCK_SECONDS = 90.0
"""A flow that did nothing for so long hangs: no statement may take as long."""

FlowState = Literal["starting", "standby", "running", "waiting", "paused", "stopped"]


@dataclass(frozen=True, slots=True)
class Blocker:
    """A transaction that holds holes open.

    Attributes:
        writer: its virtual transaction id.
        pid: its backend, or None for a prepared transaction.
        age_seconds: how long the transaction has been open, where SNK's role may see it.
        prepared: the name of a prepared transaction.
    """

    writer: str
    pid: int | None
    user: str | None
    application: str | None
    state: str | None
    age_seconds: float | None
    prepared: str | None


@dataclass(frozen=True, slots=True)
class FlowStatus:
    """One direction of one table.

    Attributes:
        state: ``running``; ``standby`` where another daemon works on the table; ``waiting`` for a server that is away;
            ``paused`` until a person changes something.
        high: the greatest id read at the source.
        safe: the greatest high known to be durable at the source.
        version: of the mark in the destination.
        hole_ids: how many ids below high were never seen and may still come.
        holes: how many intervals they make.
        holes_seconds: for how long there have been holes without a break.
        blockers: who holds them open.
        lag_seconds: everything that was visible at the source so long ago is in the destination. While a flow has
            nothing to do the source's server watches for rows, every few milliseconds, and as long as it is silent this
            is 0.
        lag_rows: ids between high and the greatest id at the source: at most so many rows wait.
        delivered: rows inserted into the destination since the daemon started.
        echoes: rows recognised as written by SNK itself.
        present: rows that the destination held already, found by its unique key.
        conflicts: one uuid, two different rows; all that are recorded in the destination.
        rejected: rows that the destination refuses or the source cannot give, set aside in ``snk.rejected`` there and
            tried again.
        wanted: rows that a sweep found missing in the destination, and that are still to be brought there.
        late: rows that appeared in holes after they were given up, and were brought all the same.
        leader: the daemon that works on this table: its name, or an empty string where none does.
        rows_per_second: delivered, over the last seconds.
        progress_seconds: since the flow last finished a step or, where it waits, last tried.
        awaits: the tables to which rows in hand refer, while they wait for the flows of these.
        error: the last one, or an empty string.
        error_seconds: how long ago it was.
        notice: what a person ought to know of this flow though it runs, such as triggers that change what it delivers.
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
        """Whether rows flow, brought by this daemon or by the one for which it stands by."""
        return self.state in ("running", "standby")


@dataclass(frozen=True, slots=True)
class Locker:
    """A session that holds a lock for which SNK waits.

    Attributes:
        side: ``first`` or ``second``.
        waiting_seconds: for how long SNK's statement has been at work.
        age_seconds: how long the holder's transaction has been open, where SNK's role may see it.
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
        trip_seconds: how long the last one took from one side to the other; None before the first landed.
        landed_seconds: how long ago it landed.
        late: the next one should have landed by now.
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
        redis: whether Redis stands behind it now.
        error: why not, or an empty string.
    """

    size: int
    redis: bool
    error: str


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """What the comparisons of one whole table have shown.

    Attributes:
        state: ``off``, ``waiting`` for the next one, or ``running``.
        proven_seconds: so long ago both sides were found equal, but for rows that are set aside or conflicts; None
            where they never were since the daemon took the table up.
        up_to_first: the mark of the flow from first when that sweep began; rows up to it took part.
        up_to_second: that of the flow from second.
        rows: how many took part in the last sweep.
        found: rows that tailing had missed, in all sweeps; they were brought over.
        set_aside: rows that differed in the last one and are set aside or conflicts.
        seconds: how long the last one took.
        error: why the last one failed, or an empty string.
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


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """The whole daemon.

    Attributes:
        name: its host and process.
        first: where database A is, without user and password.
        second: where database B is.
        canaries: heartbeats, there and back; empty where the settings ask for none.
        lockers: who holds locks for which SNK waits.
        troubles: why the daemon is not healthy; empty when it is.
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

    @property
    def stuck(self) -> bool:
        """Whether a flow neither moves nor tries again."""
        return any(flow.progress_seconds > STUCK_SECONDS for flow in self.flows)

    @property
    def healthy(self) -> bool:
        """Whether rows flow in every direction."""
        return not self.troubles
