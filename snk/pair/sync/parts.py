"""What the sessions of one flow share."""

import asyncio
from dataclasses import dataclass

from snk.db.lender import Lender
from snk.pair.dedup.dedup_set import DedupSet
from snk.pair.dedup.redis_store import RedisStore
from snk.pair.sync.arrivals import Arrivals
from snk.pair.sync.lineage import Lineage
from snk.pair.sync.meter import Meter
from snk.pair.sync.progress import Progress
from snk.pair.sync.requested import RequestedRows
from snk.pair.sync.route import Route
from snk.pair.sync.turns import Turns
from snk.pair.sync.watch import Watch


@dataclass(frozen=True, slots=True)
class Echoes:
    """The two dedup sets of one table, as one flow uses them.

    Attributes:
        held_by_destination: uuids that the destination is known to hold; a row of these, read at the source, is an
            echo.
        held_by_source: uuids that the source is known to hold, for the opposite flow.
        name: the Redis key of ``held_by_destination``.
        store: Redis.
    """

    held_by_destination: DedupSet
    held_by_source: DedupSet
    name: str
    store: RedisStore


@dataclass(frozen=True, slots=True)
class Around:
    """What a flow shares with the other flows of its daemon.

    Attributes:
        read_from: the connections to its source.
        written_to: the connections to its destination.
        source_watch: wakes the flow when its source has news.
        destination_watch: knows whether anything has changed in its destination.
        quiet_seconds: how often an idle flow checks that nothing has changed.
        turns: the turns of all flows.
        arrivals: the arrivals in its destination.
        read_lineage: the lineage of its source.
        written_lineage: the lineage of its destination.
    """

    read_from: Lender
    written_to: Lender
    source_watch: Watch
    destination_watch: Watch
    quiet_seconds: float
    turns: Turns
    arrivals: Arrivals
    read_lineage: Lineage
    written_lineage: Lineage


@dataclass(frozen=True, slots=True)
class FlowParts:
    """What outlives a session of a flow.

    Attributes:
        progress: the state of the flow.
        meter: the figures of the flow.
        requested: rows to deliver by uuid.
        alarm: wakes the flow while it is idle.
    """

    route: Route
    echoes: Echoes
    around: Around
    progress: Progress
    meter: Meter
    requested: RequestedRows
    alarm: asyncio.Event
