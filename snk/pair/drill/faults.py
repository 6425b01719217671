"""All faults, in the order in which they are inflicted."""

from collections.abc import Sequence

from snk.pair.drill.fault import Fault
from snk.pair.drill.leaders import HandOver, KillLeader
from snk.pair.drill.machines import CrashServer, CutNetwork, DropRedis, KillDaemon, SilentNetwork
from snk.pair.drill.rows import NewColumn, OpenTransaction, RefusedRow


def all_faults() -> Sequence[Fault]:
    """One instance of each fault; inflict each once."""
    return (
        KillDaemon(),
        DropRedis(),
        CrashServer("first"),
        CrashServer("second"),
        CutNetwork(),
        SilentNetwork(),
        OpenTransaction(),
        HandOver(),
        KillLeader(),
        RefusedRow(),
        NewColumn(),
    )
