"""What the tables of one daemon share."""

from collections.abc import Mapping
from dataclasses import dataclass

from snk.pair.dedup.redis_store import RedisStore
from snk.pair.sync.leases import Leases
from snk.pair.sync.limits import Limits
from snk.pair.sync.parts import Around
from snk.pair.sync.route import Route
from snk.pair.sync.schedule import SweepSchedule
from snk.pair.sync.side import Side
from snk.pair.sync.sweeper import SweepMeans
from snk.pair.sync.turns import Turns


@dataclass(frozen=True, slots=True)
class Shared:
    """What exists once per daemon, or once per server.

    Attributes:
        store: Redis.
        leases: the leases of all tables.
        limits: the limits of all tables together; for a job, those of its table.
        schedule: the sweep schedule of each table.
        sweeping: how sweeps reach both servers.
        sides: what exists once per server, by its label.
        turns: the turns of all flows.
    """

    store: RedisStore
    leases: Leases
    limits: Limits
    schedule: SweepSchedule
    sweeping: SweepMeans
    sides: Mapping[str, Side]
    turns: Turns

    def around(self, route: Route) -> Around:
        """Return what the flow of a route shares with the other flows."""
        return Around(self.sides[route.source.label], self.sides[route.destination.label], self.turns)
