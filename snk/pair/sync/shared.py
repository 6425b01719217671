"""What the tables of one daemon have in common."""

from collections.abc import Mapping
from dataclasses import dataclass

from snk.pair.dedup.redis_store import RedisStore
from snk.pair.sync.arrivals import Arrivals
from snk.pair.sync.leases import Leases
from snk.pair.sync.limits import Limits
from snk.pair.sync.lineage import Lineage
from snk.pair.sync.parts import Around
from snk.pair.sync.route import Route
from snk.pair.sync.schedule import SweepSchedule
from snk.pair.sync.turns import Turns
from snk.pair.verify.throttle import Throttles


@dataclass(frozen=True, slots=True)
class Shared:
    """Whatever there is only one of in a daemon, or one for each server.

    Attributes:
        store: Redis.
        leases: of all tables.
        limits: of each table.
        schedule: of the sweeps of each table.
        throttles: of each server's sweeps, by its label.
        turns: of all flows.
        arrivals: in each server, by its label.
        lineages: in each server, by its label.
    """

    store: RedisStore
    leases: Leases
    limits: Limits
    schedule: SweepSchedule
    throttles: Throttles
    turns: Turns
    arrivals: Mapping[str, Arrivals]
    lineages: Mapping[str, Lineage]

    def around(self, route: Route) -> Around:
        """What the flow of a route gets of it."""
        return Around(
            self.turns,
            self.arrivals[route.destination.label],
            self.lineages[route.source.label],
            self.lineages[route.destination.label],
        )
