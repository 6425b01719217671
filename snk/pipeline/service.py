"""The status service of the pipeline: ``/status``, ``/metrics`` and ``/health``."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from snk.http.pages import Pages
from snk.pipeline.status import Status

_GAUGES = {
    "missing": "Frames that are due and were not pulled.",
    "pulled": "Frames, and supplements of frames, that wait to be pushed.",
    "pushing": "Frames and supplements of which some records were pushed.",
    "done": "Frames with a Done file.",
    "quarantined": "Frames and supplements that are set aside.",
    "again": "Frames that a person wants to be pulled once more.",
    "accepted": "Frames that are done and not known to be in the database.",
    "lag_seconds": "Age of the oldest frame that is due and not done.",
    "disk_bytes": "What both spaces take.",
    "quota_bytes": "What they may take; 0 is no limit.",
    "waiting_records": "Records in the frames that wait to be pushed.",
}
_COUNTERS = {
    "records": "Records that the receiving server acknowledged.",
    "late": "Records that came late.",
    "ambiguous": "Requests whose answers were lost.",
    "stored": "Records that the receiving server had from before.",
    "dropped": "Frames and supplements that a person gave up.",
}


class Metrics(Collector):
    """The metrics of one moment."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """All families."""
        for name, text in _GAUGES.items():
            yield GaugeMetricFamily(f"snk_pipeline_{name}", text, float(getattr(self._status, name)))
        for name, text in _COUNTERS.items():
            yield CounterMetricFamily(f"snk_pipeline_{name}", text, float(getattr(self._status, name)))
        if self._status.loaded is not None:
            yield GaugeMetricFamily("snk_pipeline_loaded", "Frames in the database.", float(self._status.loaded))
        running = GaugeMetricFamily("snk_pipeline_running", "Whether the process runs.", labels=["process"])
        for name, report in (("pull", self._status.pull), ("push", self._status.push)):
            running.add_metric([name], float(report.fresh))
        yield running


PAGES: Pages[Status] = Pages(lambda status: status.as_json, Metrics)
