"""What the endpoints of `snk resync watch` show."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from snk.http.pages import Pages
from snk.resync.watch import WatchStatus


class StatusCollector(Collector):
    """Converts one status to metrics."""

    def __init__(self, status: WatchStatus) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        """Every metric, each with one value per project."""
        up = GaugeMetricFamily("snk_resync_up", "1 if the last round of checks succeeded.")
        up.add_metric([], not self._status.trouble and self._status.rounds > 0)
        took = GaugeMetricFamily("snk_resync_round_seconds", "How long the last successful round took.")
        took.add_metric([], self._status.round_seconds)
        equal = GaugeMetricFamily(
            "snk_resync_equal", "1 if counters and rows of the project are equal.", labels=["project"]
        )
        differing = GaugeMetricFamily("snk_resync_differences", "By kind of difference.", labels=["project", "kind"])
        unreadable = GaugeMetricFamily("snk_resync_unreadable", "Counters that are no counts.", labels=["project"])
        checked = GaugeMetricFamily(
            "snk_resync_checked_timestamp_seconds", "When the project was last checked.", labels=["project"]
        )
        for each in self._status.projects:
            equal.add_metric([each.project], each.equal)
            unreadable.add_metric([each.project], each.unreadable)
            checked.add_metric([each.project], each.checked_at)
            for kind, count in each.differences.items():
                differing.add_metric([each.project, kind], count)
        return [up, took, equal, differing, unreadable, checked]


def as_json(status: WatchStatus) -> dict[str, Any]:
    """The status as ``/status`` shows it."""
    return {"healthy": status.healthy, **asdict(status)}


PAGES: Pages[WatchStatus] = Pages(as_json, StatusCollector)
