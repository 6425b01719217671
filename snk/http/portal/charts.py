"""Charts as SVG, made here: they need no script, and follow the colours of the style sheet. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 640, 160
LEFT, BOTTOM, TOP = 56, 22, 8
MOST_POINTS = 180
SECONDS_SHOWN = 600.0
"""In a chart of less time, times are told with their seconds."""
STEPS = (1, 2, 5, 10)
LINES = 4
NEXT_TO_NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart.

    Attributes:
        name: in the legend.
        points: seconds since the epoch, and values.
        look: the class of the style sheet that colours it, such as ``one``.
    """

    name: str
    points: Points
    look: str


def lines(title: str, drawn: Sequence[Line], *, now: float, seconds: float, unit: str = "") -> str:
    """Values over the time until now.

    Args:
        title: what it shows, also for those who do not see it.
        drawn: its lines.
        now: the time of its right edge, in seconds since the epoch.
        seconds: the time that it covers.
        unit: of its values.
    """
    thinned = [Line(line.name, _thinned(line.points, now - seconds, now), line.look) for line in drawn]
    most = _above(max((value for line in thinned for _, value in line.points), default=0.0))
    return "".join(_chart(title, thinned, (now - seconds, now), most, unit))


def _chart(title: str, drawn: Sequence[Line], span: tuple[float, float], most: float, unit: str) -> Iterator[str]:
    told = escape(_told(title, drawn, unit))
    yield f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {HEIGHT}"><title>{told}</title>'
    for number in range(LINES + 1):
        value = most * number / LINES
        y = _y(value, most)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>'
    for number in range(LINES + 1):
        at = span[0] + (span[1] - span[0]) * number / LINES
        anchor = ("start", "middle", "middle", "middle", "end")[number]
        x = _x(at, span)
        moment = datetime.fromtimestamp(at, UTC)
        clock = f"{moment:%H:%M:%S}" if span[1] - span[0] < SECONDS_SHOWN else f"{moment:%H:%M}"
        yield f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{clock}</text>'
    for line in drawn:
        if line.points:
            points = line.points if len(line.points) > 1 else [*line.points] * 2  # a dot
            path = " ".join(f"{_x(at, span):.1f},{_y(value, most):.1f}" for at, value in points)
            yield f'<polyline class="line {line.look}" points="{path}"/>'
    yield "</svg>"


def _told(title: str, drawn: Sequence[Line], unit: str) -> str:
    """What a chart shows, in words."""
    ends = [f"{line.name} now {short(line.points[-1][1])} {unit}".rstrip() for line in drawn if line.points]
    return f"{title}: {', '.join(ends)}" if ends else f"{title}: nothing was measured yet"


def _thinned(points: Points, since: float, until: float) -> Points:
    """At most so many points as can be told apart: of each stretch of time, the greatest value."""
    width = (until - since) / MOST_POINTS
    greatest: dict[int, tuple[float, float]] = {}
    for at, value in points:
        if at >= since:
            stretch = int((at - since) / width)
            if stretch not in greatest or value > greatest[stretch][1]:
                greatest[stretch] = (at, value)
    return list(greatest.values())


def _above(most: float) -> float:
    """A round number that is not less; 1 for what is next to nothing."""
    if most < NEXT_TO_NOTHING:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in STEPS if step * power >= most * (1 - 1e-9))


def _x(at: float, span: tuple[float, float]) -> float:
    return LEFT + (WIDTH - LEFT) * (at - span[0]) / (span[1] - span[0])


def _y(value: float, most: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / most


def short(value: float) -> str:
    """A number in a few characters: ``0.05``, ``12``, ``3.4k``, ``2M``."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"
