"""A plot of a soak, as SVG."""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.plot import STYLE, as_svg
from tests.soak.faults import Happened
from tests.soak.samples import Sample

FAULT_COLOUR = "#b3261e"
Points = list[tuple[float, float]]


def plot(title: str, samples: Sequence[Sample], happened: Sequence[Happened]) -> str:
    """Four panels over time, and below them each fault as a bar in the row of its kind."""
    panels: list[tuple[str, list[tuple[str, Points]]]] = [
        ("rows/s", [("committed", _rates(samples, "rows")), ("delivered", _rates(samples, "delivered"))]),
        ("memory of the daemons, MiB", [("", points) for points in _memory(samples)]),
        ("holes (intervals)", [("", [(sample.at_seconds, sample.holes) for sample in samples])]),
        ("lag, s", [("", [(sample.at_seconds, sample.lag_seconds) for sample in samples])]),
    ]
    kinds = sorted({fault.kind for fault in happened})
    heights = [1.6] * len(panels) + [0.3 + 0.16 * len(kinds)]
    with mpl.rc_context(STYLE):
        drawing = Figure(figsize=(11, sum(heights) + 1), layout="constrained")
        drawing.suptitle(title, x=0.01, ha="left")
        all_axes = drawing.subplots(len(heights), sharex=True, height_ratios=heights)
        for axes, (name, lines) in zip(all_axes[:-1], panels, strict=True):
            _draw_lines(axes, name, lines)
        _draw_faults(all_axes[-1], kinds, happened)
        return as_svg(drawing)


def _draw_lines(axes: Axes, name: str, lines: Sequence[tuple[str, Points]]) -> None:
    axes.set_title(name, loc="left", fontsize=9)
    for label, points in lines:
        axes.plot(*zip(*points, strict=True), linewidth=1, label=label or None)
    axes.set_ylim(bottom=0)
    if any(label for label, _ in lines):
        axes.legend(loc="upper right", frameon=False)


def _draw_faults(axes: Axes, kinds: Sequence[str], happened: Sequence[Happened]) -> None:
    axes.set_title(f"faults: {len(happened)}", loc="left", fontsize=9)
    for at, kind in enumerate(kinds):
        lasted = [
            (fault.began_seconds, fault.ended_seconds - fault.began_seconds) for fault in happened if fault.kind == kind
        ]
        axes.broken_barh(lasted, (at - 0.35, 0.7), facecolors=FAULT_COLOUR, alpha=0.7)
    axes.set_yticks(range(len(kinds)), kinds, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("seconds")


def _rates(samples: Sequence[Sample], name: str) -> Points:
    """Rows per second, over three samples each."""
    return [
        (late.at_seconds, (getattr(late, name) - getattr(early, name)) / (late.at_seconds - early.at_seconds))
        for early, late in zip(samples, samples[3:], strict=False)
    ]


def _memory(samples: Sequence[Sample]) -> list[Points]:
    """One line for each process."""
    pids = list(dict.fromkeys(pid for sample in samples for pid in sample.memory_mib))
    return [
        [(sample.at_seconds, sample.memory_mib[pid]) for sample in samples if pid in sample.memory_mib] for pid in pids
    ]
