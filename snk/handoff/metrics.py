"""The status as Prometheus metrics."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from snk.handoff.status import Status

_GAUGES = {
    "pending_lines": "Whole lines that are neither done nor dead letters.",
    "pending_bytes": "Bytes of the logs that hold them.",
    "oldest_seconds": "Age of the oldest log that holds some.",
    "in_flight": "Requests under way.",
    "dead": "Dead letters.",
    "unanswered": "Lines that got no answer several times in a row.",
}
_COUNTERS = {
    "processed": "Lines read from logs.",
    "synced": "Lines done.",
    "expired": "Lines done because their time to live was over.",
    "unknown": "Requests whose answer was lost.",
    "unknown_adds": "Those of them that may have changed the backend twice.",
    "again": "Lines sent again.",
    "lost": "Lines that vanished with their logs before they were sent.",
}


class Metrics(Collector):
    """The metrics of one moment."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """All families."""
        backends = self._status.backends.items()
        up = GaugeMetricFamily("snk_handoff_alive", "Whether lines are sent to the backend.", labels=["backend"])
        for name, backend in backends:
            up.add_metric([name], float(backend.state == "alive"))
        yield up
        for key, text in _GAUGES.items():
            gauge = GaugeMetricFamily(f"snk_handoff_{key}", text, labels=["backend"])
            for name, backend in backends:
                gauge.add_metric([name], float(getattr(backend, key)))
            yield gauge
        for key, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"snk_handoff_{key}", text, labels=["backend"])
            for name, backend in backends:
                counter.add_metric([name], float(getattr(backend.counts, key)))
            yield counter
        yield GaugeMetricFamily("snk_handoff_disk_trouble", "Whether state cannot be written.", bool(self._status.disk))
