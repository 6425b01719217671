"""Bars of medians with the spread of all rounds, as SVG."""

import statistics
from html import escape

from bench.results import OURS, Results
from bench.scenario import Scenario

WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 760, 210, 170, 16, 14, 46
OURS_COLOUR = "#1f5fa8"
OTHERS = {"native": "#8e959f", "nobody": "#e3e5e8", "original": "#d4c9b5", "bucardo": "#c9b5d4", "reladiff": "#d4c9b5"}


def plot(scenario: Scenario, results: Results) -> str:
    """One bar for every contender in every case, of the scenario's first figure."""
    figure = scenario.shown[0]
    found = {
        (case, contender): sorted(results.values(case, contender, figure.name))
        for case in results.cases
        for contender in results.contenders(case)
    }
    most = max((values[-1] for values in found.values() if values), default=1.0)
    parts = [_text(10, 20, f"{scenario.title}: {figure.title}", size=15)]
    y, last = TOP, ""
    for (case, contender), values in found.items():
        if not values:
            continue
        if case != last:
            y += GAP if last else 0
            parts.append(_text(10, y + BAR - 4, case))
            last = case
        colour = OURS_COLOUR if contender == OURS else OTHERS.get(contender, "#b9bec6")
        parts += _bar(y, colour, [_x(value / most) for value in (values[0], statistics.median(values), values[-1])])
        parts.append(
            _text(_x(values[-1] / most) + 6, y + BAR - 4, f"{contender}: {_number(statistics.median(values))}")
        )
        y += BAR + 3
    style = 'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" style="background:#fff"'
    body = "\n".join(parts)
    return f'<svg {style} viewBox="0 0 {WIDTH} {y + GAP}">\n{body}\n</svg>\n'


def _bar(y: float, colour: str, places: list[float]) -> list[str]:
    """Up to the median, with a line from the least to the greatest."""
    low, middle, high = places
    half, top, bottom = y + BAR / 2, y + 4, y + BAR - 4
    line = f"M{low:.1f} {half}H{high:.1f}M{low:.1f} {top}V{bottom}M{high:.1f} {top}V{bottom}"
    return [
        f'<rect x="{LEFT}" y="{y}" width="{middle - LEFT:.1f}" height="{BAR}" fill="{colour}"/>',
        f'<path d="{line}" stroke="#333" fill="none"/>',
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits


def _x(share: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * share


def _text(x: float, y: float, text: str, *, size: int = 11) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="#333">{escape(text)}</text>'
