"""What the tables of one daemon share."""

from collections.abc import Mapping
from dataclasses import dataclass

from snk.db.lender import Lender
from snk.pair.dedup.redis_store import RedisStore
from snk.pair.sync.arrivals import Arrivals
from snk.pair.sync.leases import Leases
from snk.pair.sync.limits import Limits
from snk.pair.sync.lineage import Lineage
from snk.pair.sync.parts import Around
from snk.pair.sync.route import Route
from snk.pair.sync.schedule import SweepSchedule
from snk.pair.sync.sweeper import SweepMeans
from snk.pair.sync.turns import Turns
from snk.pair.sync.watch import Watch


@dataclass(frozen=True, slots=True)
class Shared:
    """What exists once per daemon, or once per server.

    Attributes:
        store: Redis.
        leases: the leases of all tables.
        limits: the limits of all tables together; for a job, those of its table.
        schedule: the sweep schedule of each table.
        sweeping: how sweeps reach both servers.
        lenders: the connections to each server, by its label.
        watches: the watch over each server, by its label.
        quiet_seconds: how often each idle flow checks that nothing has changed.
        turns: the turns of all flows.
        arrivals: the arrivals in each server, by its label.
        lineages: the lineage of each server, by its label.
    """

    store: RedisStore
    leases: Leases
    limits: Limits
    schedule: SweepSchedule
    sweeping: SweepMeans
    lenders: Mapping[str, Lender]
    watches: Mapping[str, Watch]
    quiet_seconds: float
    turns: Turns
    arrivals: Mapping[str, Arrivals]
    lineages: Mapping[str, Lineage]

    def around(self, route: Route) -> Around:
        """Return what the flow of a route shares with the other flows."""
        return Around(
            self.lenders[route.source.label],
            self.lenders[route.destination.label],
            self.watches[route.source.label],
            self.watches[route.destination.label],
            self.quiet_seconds,
            self.turns,
            self.arrivals[route.destination.label],
            self.lineages[route.source.label],
            self.lineages[route.destination.label],
        )
