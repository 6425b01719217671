"""Counts the requests that a service answered."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.core import CounterMetricFamily


@dataclass(slots=True)
class Answers:
    """What a service answered since it started.

    Attributes:
        given: by the kind of request, such as ``GET /v1/records``, and status.
        seconds: how long requests of a kind took, in total.
        under_way: requests that are not answered yet.
    """

    given: Counter[tuple[str, int]] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    under_way: int = 0

    @property
    def as_json(self) -> list[dict[str, Any]]:
        """How many were given, as ``/status`` shows it."""
        given = sorted(self.given.items())
        return [{"request": kind, "status": status, "count": count} for (kind, status), count in given]

    def counted(self, name: str, words: str) -> CounterMetricFamily:
        """How many were given, as a metric of this name, with these words about it."""
        family = CounterMetricFamily(name, words, labels=["request", "status"])
        for (kind, status), count in sorted(self.given.items()):
            family.add_metric([kind, str(status)], count)
        return family

    def timed(self, name: str) -> CounterMetricFamily:
        """How long requests took, as a metric of this name."""
        family = CounterMetricFamily(name, "How long requests took.", labels=["request"])
        for kind, took in sorted(self.seconds.items()):
            family.add_metric([kind], took)
        return family
