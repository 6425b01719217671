"""The status as Prometheus metrics. Metrics use the names of the status; units are seconds and rows.

There is a series per table and direction or, for many tables, one per direction: then each metric is the sum of those
of the tables, or the greatest, or the least of them.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from snk.pair.core.report import DaemonStatus, FlowState, FlowStatus

DIRECTION = ("source", "destination")
Value = Callable[[FlowStatus], float]
Together = Callable[[Iterable[float]], float]
TOGETHER: Mapping[Together, str] = {
    sum: "Sum of all tables.",
    max: "Greatest of all tables.",
    min: "Least of all tables.",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric of each flow.

    Attributes:
        text: what it is.
        value: of one flow.
        together: makes one value of those of all tables.
    """

    text: str
    value: Value
    together: Together = sum


COUNTERS: dict[str, Figure] = {
    "snk_rows_delivered": Figure("Rows inserted into the destination.", lambda flow: flow.delivered),
    "snk_rows_echoed": Figure("Rows recognised as written by SNK itself.", lambda flow: flow.echoes),
    "snk_rows_late": Figure("Rows delivered from holes that had been given up.", lambda flow: flow.late),
    "snk_rows_present": Figure("Rows that the destination already had.", lambda flow: flow.present),
}
GAUGES: dict[str, Figure] = {
    "snk_flow_running": Figure(
        "1 while rows flow, through this daemon or the one it stands by for; 0 while it starts, waits or is paused.",
        lambda flow: flow.flowing,
        min,
    ),
    "snk_flow_standby": Figure(
        "1 while another daemon handles the table and this one stands by; its other metrics do not change then.",
        lambda flow: flow.state == "standby",
        min,
    ),
    "snk_lag_seconds": Figure(
        "All rows visible at the source so long ago are delivered.", lambda flow: flow.lag_seconds, max
    ),
    "snk_lag_rows": Figure("Ids between the mark and the greatest id at the source.", lambda flow: flow.lag_rows),
    "snk_mark_high": Figure("The greatest id read at the source.", lambda flow: flow.high),
    "snk_mark_safe": Figure("The greatest id read that is known to be durable at the source.", lambda flow: flow.safe),
    "snk_hole_ids": Figure("Ids below the mark, never seen, that may still come.", lambda flow: flow.hole_ids),
    "snk_holes_seconds": Figure("For how long there have been such ids.", lambda flow: flow.holes_seconds, max),
    "snk_conflicts": Figure("Recorded conflicts: one uuid, two different rows.", lambda flow: flow.conflicts),
    "snk_wanted": Figure(
        "Rows that a sweep found missing and that are still to be delivered.", lambda flow: flow.wanted
    ),
    "snk_rejected": Figure("Rows that are set aside and retried.", lambda flow: flow.rejected),
    "snk_progress_seconds": Figure("Since the flow last finished a step.", lambda flow: flow.progress_seconds, max),
}


class StatusCollector(Collector):
    """Converts one status to metrics.

    Args:
        status: of the daemon.
        of_tables: whether there is a series per table; otherwise their number does not depend on the tables.
    """

    def __init__(self, status: DaemonStatus, *, of_tables: bool = True) -> None:
        self._status = status
        self._of_tables = of_tables
        self._directions: dict[tuple[str, str], list[FlowStatus]] = defaultdict(list)
        for flow in status.flows:
            self._directions[flow.source, flow.destination].append(flow)

    def collect(self) -> Iterable[Metric]:
        """The metrics of every flow, then those of the daemon."""
        for name, figure in COUNTERS.items():
            yield self._filled(CounterMetricFamily(name, self._text(figure), labels=self._labels), figure)
        for name, figure in GAUGES.items():
            yield self._filled(GaugeMetricFamily(name, self._text(figure), labels=self._labels), figure)
        yield self._states()
        yield from self._sweeps()
        yield self._canaries()
        yield GaugeMetricFamily("snk_healthy", "1 while rows flow in every direction.", value=self._status.healthy)
        yield GaugeMetricFamily("snk_uptime_seconds", "Since the daemon started.", value=self._status.uptime_seconds)
        yield GaugeMetricFamily("snk_dedup_entries", "Entries of the dedup sets.", value=self._status.dedup.size)
        yield GaugeMetricFamily("snk_redis_up", "1 while Redis is connected.", value=self._status.dedup.redis)

    @property
    def _labels(self) -> Sequence[str]:
        return ("table", *DIRECTION) if self._of_tables else DIRECTION

    def _text(self, figure: Figure) -> str:
        return figure.text if self._of_tables else f"{figure.text} {TOGETHER[figure.together]}"

    def _filled(self, family: CounterMetricFamily | GaugeMetricFamily, figure: Figure) -> Metric:
        if self._of_tables:
            for flow in self._status.flows:
                family.add_metric([flow.table, flow.source, flow.destination], figure.value(flow))
        else:
            for direction, flows in self._directions.items():
                family.add_metric(direction, figure.together(map(figure.value, flows)))
        return family

    def _states(self) -> Metric:
        gauge = GaugeMetricFamily("snk_flows", "Flows in each state.", labels=(*DIRECTION, "state"))
        for direction, flows in self._directions.items():
            found = Counter(flow.state for flow in flows)
            for state in get_args(FlowState):
                gauge.add_metric([*direction, state], found[state])
        return gauge

    def _sweeps(self) -> Iterable[Metric]:
        labels, sweeps = (("table",) if self._of_tables else ()), self._status.sweeps
        found = CounterMetricFamily("snk_rows_swept", "Rows that only a sweep found.", labels=labels)
        proven = GaugeMetricFamily("snk_proven_seconds", "Since both sides were proven equal.", labels=labels)
        ages = {sweep.table: sweep.proven_seconds for sweep in sweeps if sweep.proven_seconds is not None}
        if self._of_tables:
            for sweep in sweeps:
                found.add_metric([sweep.table], sweep.found)
            for table, age in ages.items():
                proven.add_metric([table], age)
        else:
            found.add_metric([], sum(sweep.found for sweep in sweeps))
            if ages:
                proven.add_metric([], max(ages.values()))
        yield from (found, proven)
        yield GaugeMetricFamily("snk_tables", "Tables that are synced.", value=len(sweeps))
        yield GaugeMetricFamily("snk_tables_proven", "Those whose sides were proven equal.", value=len(ages))

    def _canaries(self) -> Metric:
        trips = GaugeMetricFamily("snk_canary_trip_seconds", "How long the last canary took.", labels=DIRECTION)
        for canary in self._status.canaries:
            if canary.trip_seconds is not None:
                trips.add_metric([canary.source, canary.destination], canary.trip_seconds)
        return trips
