"""What the sessions of one flow share."""

import asyncio
from dataclasses import dataclass

from snk.pair.dedup.dedup_set import DedupSet
from snk.pair.dedup.redis_store import RedisStore
from snk.pair.sync.meter import Meter
from snk.pair.sync.progress import Progress
from snk.pair.sync.requested import RequestedRows
from snk.pair.sync.route import Route
from snk.pair.sync.side import Side
from snk.pair.sync.turns import Turns


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
        turns: the turns of all flows.
    """

    source: Side
    destination: Side
    turns: Turns


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
