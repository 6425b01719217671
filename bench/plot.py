"""Bar charts of medians, with the spread over all rounds, as SVG."""

import io
import statistics
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.results import OURS, Results
from bench.scenario import Scenario

OURS_COLOUR = "#1f5fa8"
OTHERS = {"native": "#8e959f", "nobody": "#e3e5e8", "original": "#d4c9b5", "bucardo": "#c9b5d4", "reladiff": "#d4c9b5"}
# The same figures always produce the same file, and text stays text.
STYLE: dict[Any, Any] = {"svg.hashsalt": "snk", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}


def plot(scenario: Scenario, results: Results) -> str:
    """Plot the scenario's first figure: one bar for every contender in every case."""
    figure = scenario.shown[0]
    bars = [
        (case, contender, values)
        for case in results.cases
        for contender in results.contenders(case)
        if (values := sorted(results.values(case, contender, figure.name)))
    ]
    with mpl.rc_context(STYLE):
        drawing = Figure(figsize=(7.6, 0.9 + 0.28 * len(bars)), layout="constrained")
        axes = drawing.subplots()
        axes.set_title(f"{scenario.title}: {figure.title}", loc="left")
        for place, (_, contender, values) in enumerate(bars):
            middle = statistics.median(values)
            spread = [[middle - values[0]], [values[-1] - middle]]
            colour = OURS_COLOUR if contender == OURS else OTHERS.get(contender, "#b9bec6")
            axes.barh(place, middle, xerr=spread, color=colour, ecolor="#333", capsize=2)
            axes.annotate(
                f"{contender}: {_number(middle)}", (values[-1], place), (4, 0), textcoords="offset points", va="center"
            )
        cases = [case for case, _, _ in bars]
        axes.set_yticks(range(len(bars)), [case if cases.index(case) == at else "" for at, case in enumerate(cases)])
        axes.invert_yaxis()
        axes.margins(x=0.3)
        axes.set_xlim(left=0)
        axes.spines[["top", "right"]].set_visible(False)
        return as_svg(drawing)


def as_svg(drawing: Figure) -> str:
    """Return the drawing as the text of an SVG file."""
    file = io.StringIO()
    drawing.savefig(file, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits
