"""What the sessions of one flow have in common."""

from dataclasses import dataclass

from snk.pair.dedup.dedup_set import DedupSet
from snk.pair.dedup.redis_store import RedisStore
from snk.pair.sync.arrivals import Arrivals
from snk.pair.sync.lineage import Lineage
from snk.pair.sync.meter import Meter
from snk.pair.sync.progress import Progress
from snk.pair.sync.requested import RequestedRows
from snk.pair.sync.route import Route
from snk.pair.sync.turns import Turns


@dataclass(frozen=True, slots=True)
class Echoes:
    """The two dedup sets of one table, as one flow uses them.

    Attributes:
        held_by_destination: what the destination is known to hold: an echo, when it is met at the source.
        held_by_source: what the source is known to hold: to be met by the opposite flow.
        name: under which Redis keeps ``held_by_destination``.
        store: Redis.
    """

    held_by_destination: DedupSet
    held_by_source: DedupSet
    name: str
    store: RedisStore


@dataclass(frozen=True, slots=True)
class Around:
    """What a flow shares with the others of its daemon.

    Attributes:
        turns: of all flows.
        arrivals: in its destination.
        read_lineage: of its source.
        written_lineage: of its destination.
    """

    turns: Turns
    arrivals: Arrivals
    read_lineage: Lineage
    written_lineage: Lineage


@dataclass(frozen=True, slots=True)
class FlowParts:
    """What outlives a session of a flow.

    Attributes:
        progress: where it stands.
        meter: what it counts.
        requested: rows to be brought by their uuids.
    """

    route: Route
    echoes: Echoes
    around: Around
    progress: Progress
    meter: Meter
    requested: RequestedRows
