"""What the flows of a daemon share about one of its two servers."""

from dataclasses import dataclass

from snk.pair.sync.arrivals import Arrivals
from snk.pair.sync.facts import TableFacts
from snk.pair.sync.lineage import Lineage
from snk.pair.sync.rounds import Rounds
from snk.pair.sync.watch import Watch


@dataclass(frozen=True, slots=True)
class Side:
    """One server, as its flows see it.

    Attributes:
        facts: answers about its tables; it has the connections, too.
        watch: wakes flows when tables have new rows.
        rounds: wakes flows when tables or marks have changed.
        arrivals: what flows write there.
        lineage: which rows triggers made there.
    """

    facts: TableFacts
    watch: Watch
    rounds: Rounds
    arrivals: Arrivals
    lineage: Lineage
