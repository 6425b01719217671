"""All faults, in the order in which they are inflicted."""

from collections.abc import Sequence

from snk.drill.fault import Fault
from snk.drill.leaders import HandOver, KillLeader
from snk.drill.machines import CrashServer, CutNetwork, DropRedis, KillDaemon, SilentNetwork
from snk.drill.rows import NewColumn, OpenTransaction, RefusedRow


def all_faults() -> Sequence[Fault]:
    """One of each, ready to be inflicted once."""
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
