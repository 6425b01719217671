"""What is looked at every few seconds, and whether it stayed flat."""

import json
import statistics
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from tests.kit.daemons import DaemonProcess

MEMORY_SHARE, MEMORY_MIB = 1.2, 20.0
HOLES_SHARE, HOLES_MORE = 1.5, 200.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look.

    Attributes:
        at_seconds: after the start.
        rows: committed by the writers so far.
        delivered: by the daemons, over all their lives.
        memory_mib: of each daemon that runs, by its process.
        holes: intervals, of all flows.
        lag_seconds: of the flow that is most behind.
        silent: daemons that gave no answer.
    """

    at_seconds: float
    rows: int
    delivered: int
    memory_mib: dict[int, float]
    holes: int
    lag_seconds: float
    silent: int


def status(daemon: DaemonProcess) -> dict[str, Any]:
    """What a daemon tells of itself; nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"{daemon.url}/status", timeout=1) as answer:
            return dict(json.load(answer))
    except (OSError, ValueError):
        return {}


def memory_mib(pid: int) -> float:
    """The memory a process holds now; 0 where it is gone."""
    try:
        return psutil.Process(pid).memory_info().rss / 2**20
    except psutil.NoSuchProcess:
        return 0.0


class Delivered:
    """Rows delivered over all lives of the daemons: each begins at nothing."""

    def __init__(self) -> None:
        self._most: dict[str, int] = {}

    def of(self, told: Sequence[dict[str, Any]]) -> int:
        for daemon in told:
            for flow in daemon.get("flows", ()):
                name = f"{daemon['name']} {flow['name']}"
                self._most[name] = max(self._most.get(name, 0), flow["delivered"])
        return sum(self._most.values())


def unflat(samples: Sequence[Sample]) -> list[str]:
    """What grew, in sentences: the last quarter against the second."""
    if len(samples) < 8:
        return ["there are too few samples to tell whether memory and holes were flat"]
    return [
        *_grew("memory of the daemons, MiB", samples, _both_mib, MEMORY_SHARE, MEMORY_MIB),
        *_grew("holes", samples, lambda sample: sample.holes, HOLES_SHARE, HOLES_MORE),
    ]


def medians(samples: Sequence[Sample], of: Callable[[Sample], float]) -> list[float]:
    """The median of each quarter of the time."""
    quarter = len(samples) / 4
    return [
        statistics.median([of(sample) for sample in samples[int(at * quarter) : int((at + 1) * quarter)]])
        for at in range(4)
    ]


def lives(samples: Sequence[Sample], least_seconds: float = 120.0) -> list[tuple[float, float, float]]:
    """Of each process that lived long: for how long, and the medians of the second and the last quarter of its life."""
    found = []
    for pid in sorted({pid for sample in samples for pid in sample.memory_mib}):
        life = [sample for sample in samples if pid in sample.memory_mib]
        seconds = life[-1].at_seconds - life[0].at_seconds
        if seconds >= least_seconds and len(life) >= 8:
            quarters = medians(life, lambda sample, pid=pid: sample.memory_mib[pid])  # type: ignore[misc]
            found.append((seconds, quarters[1], quarters[3]))
    return found


def _both_mib(sample: Sample) -> float:
    return max(sample.memory_mib.values(), default=0.0)


def _grew(what: str, samples: Sequence[Sample], of: Callable[[Sample], float], share: float, more: float) -> list[str]:
    quarters = medians(samples, of)
    if quarters[3] <= max(quarters[1] * share, quarters[1] + more):
        return []
    return [f"{what}: the median grew from {quarters[1]:.0f} in the second quarter to {quarters[3]:.0f} in the last"]
