"""The status as Prometheus metrics. Metrics use the names of the status; units are seconds and rows."""

from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from snk.pair.core.report import DaemonStatus, FlowStatus

Value = Callable[[FlowStatus], float]

COUNTERS: dict[str, tuple[str, Value]] = {
    "snk_rows_delivered": ("Rows inserted into the destination.", lambda flow: flow.delivered),
    "snk_rows_echoed": ("Rows recognised as written by SNK itself.", lambda flow: flow.echoes),
    "snk_rows_late": (
        "Rows delivered from holes that had been given up.",
        lambda flow: flow.late,
    ),
    "snk_rows_present": ("Rows that the destination already had.", lambda flow: flow.present),
}
GAUGES: dict[str, tuple[str, Value]] = {
    "snk_flow_running": (
        "1 while rows flow, through this daemon or the one it stands by for; 0 while it starts, waits or is paused.",
        lambda flow: flow.flowing,
    ),
    "snk_flow_standby": (
        "1 while another daemon handles the table and this one stands by; its other metrics do not change then.",
        lambda flow: flow.state == "standby",
    ),
    "snk_lag_seconds": (
        "All rows visible at the source so long ago are delivered.",
        lambda flow: flow.lag_seconds,
    ),
    "snk_lag_rows": ("Ids between the mark and the greatest id at the source.", lambda flow: flow.lag_rows),
    "snk_mark_high": ("The greatest id read at the source.", lambda flow: flow.high),
    "snk_mark_safe": ("The greatest id read that is known to be durable at the source.", lambda flow: flow.safe),
    "snk_hole_ids": ("Ids below the mark, never seen, that may still come.", lambda flow: flow.hole_ids),
    "snk_holes_seconds": (
        "For how long there have been such ids.",
        lambda flow: flow.holes_seconds,
    ),
    "snk_conflicts": ("Recorded conflicts: one uuid, two different rows.", lambda flow: flow.conflicts),
    "snk_wanted": ("Rows that a sweep found missing and that are still to be delivered.", lambda flow: flow.wanted),
    "snk_rejected": ("Rows that are set aside and retried.", lambda flow: flow.rejected),
    "snk_progress_seconds": ("Since the flow last finished a step.", lambda flow: flow.progress_seconds),
}


class StatusCollector(Collector):
    """Converts one status to metrics."""

    def __init__(self, status: DaemonStatus) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        """The metrics of every flow, then those of the daemon."""
        labels = ("table", "source", "destination")
        for name, (text, value) in COUNTERS.items():
            counter = CounterMetricFamily(name, text, labels=labels)
            for flow in self._status.flows:
                counter.add_metric([flow.table, flow.source, flow.destination], value(flow))
            yield counter
        for name, (text, value) in GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=labels)
            for flow in self._status.flows:
                gauge.add_metric([flow.table, flow.source, flow.destination], value(flow))
            yield gauge
        yield from self._sweeps()
        yield self._canaries()
        yield GaugeMetricFamily("snk_healthy", "1 while rows flow in every direction.", value=self._status.healthy)
        yield GaugeMetricFamily("snk_uptime_seconds", "Since the daemon started.", value=self._status.uptime_seconds)
        yield GaugeMetricFamily("snk_dedup_entries", "Entries of the dedup sets.", value=self._status.dedup.size)
        yield GaugeMetricFamily("snk_redis_up", "1 while Redis is connected.", value=self._status.dedup.redis)

    def _sweeps(self) -> Iterable[Metric]:
        found = CounterMetricFamily("snk_rows_swept", "Rows that only a sweep found.", labels=("table",))
        proven = GaugeMetricFamily("snk_proven_seconds", "Since both sides were proven equal.", labels=("table",))
        for sweep in self._status.sweeps:
            found.add_metric([sweep.table], sweep.found)
            if sweep.proven_seconds is not None:
                proven.add_metric([sweep.table], sweep.proven_seconds)
        yield from (found, proven)

    def _canaries(self) -> Metric:
        labels = ("source", "destination")
        trips = GaugeMetricFamily("snk_canary_trip_seconds", "How long the last canary took.", labels=labels)
        for canary in self._status.canaries:
            if canary.trip_seconds is not None:
                trips.add_metric([canary.source, canary.destination], canary.trip_seconds)
        return trips
