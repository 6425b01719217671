"""What a status says of many tables: sums over all of them, and the flows that a person should look at first."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from snk.pair.core.report import DaemonStatus, FlowState, FlowStatus, SweepStatus

MOST_FLOWS = 10
"""A person is shown so many flows; if there are more, only the worst."""

LAGGING_SECONDS = 1.0
"""A shorter lag is ordinary, and changes from one moment to the next."""


@dataclass(frozen=True, slots=True)
class Totals:
    """The flows and sweeps of all tables together.

    Attributes:
        states: how many flows are in each state, the most frequent state first.
        lag_rows: rows that wait, at most.
        slowest: the flow with the greatest lag; None if there is no flow.
        holed: how many flows have holes.
        swept: how many tables are swept; a table whose sweeps are off is not, unless it was proven equal.
        proven: how many of these were proven equal.
        oldest: the one of them whose proof is the oldest.
    """

    tables: int
    flows: int
    states: tuple[tuple[FlowState, int], ...]
    rows_per_second: float
    delivered: int
    lag_rows: int
    slowest: FlowStatus | None
    hole_ids: int
    holed: int
    conflicts: int
    rejected: int
    swept: int
    proven: int
    oldest: SweepStatus | None


def totals(status: DaemonStatus) -> Totals:
    """The sums over all flows and sweeps of a status."""
    flows = status.flows
    ages = [(sweep.proven_seconds, sweep) for sweep in status.sweeps if sweep.proven_seconds is not None]
    return Totals(
        tables=len({flow.table for flow in flows}),
        flows=len(flows),
        states=tuple(Counter(flow.state for flow in flows).most_common()),
        rows_per_second=sum(flow.rows_per_second for flow in flows),
        delivered=sum(flow.delivered for flow in flows),
        lag_rows=sum(flow.lag_rows for flow in flows),
        slowest=max(flows, key=lambda flow: flow.lag_seconds, default=None),
        hole_ids=sum(flow.hole_ids for flow in flows),
        holed=sum(flow.hole_ids > 0 for flow in flows),
        conflicts=sum(flow.conflicts for flow in flows),
        rejected=sum(flow.rejected for flow in flows),
        swept=sum(sweep.state != "off" or sweep.proven_seconds is not None for sweep in status.sweeps),
        proven=len(ages),
        oldest=max(ages, key=lambda aged: aged[0])[1] if ages else None,
    )


def worst_first(flows: Iterable[FlowStatus]) -> list[FlowStatus]:
    """The flows in the order in which a person should look at them.

    First those in trouble and those that do not flow, then by lag, waiting rows, holes, conflicts, rows set aside, and
    rows that a sweep found. Of flows that are equally well, the busiest come first; otherwise the order is kept.
    """
    return sorted(flows, key=_well)


def only(status: DaemonStatus, tables: Collection[str]) -> DaemonStatus:
    """The status without the flows and sweeps of other tables, and without the troubles of these."""
    dropped = {flow.trouble for flow in status.flows if flow.table not in tables}
    return replace(
        status,
        flows=tuple(flow for flow in status.flows if flow.table in tables),
        sweeps=tuple(sweep for sweep in status.sweeps if sweep.table in tables),
        troubles=tuple(trouble for trouble in status.troubles if trouble not in dropped),
    )


def _well(flow: FlowStatus) -> tuple[float, ...]:
    """Sorts before the key of any flow that is better off."""
    return (
        not flow.trouble,
        flow.flowing,
        -flow.lag_seconds if flow.lag_seconds >= LAGGING_SECONDS else 0,
        -flow.lag_rows,
        -flow.hole_ids,
        -flow.conflicts,
        -flow.rejected,
        -flow.wanted,
        -flow.rows_per_second,
    )
