"""What took how long: lanes of a timeline, and a row of bars, as SVG within HTML.

The text is that of the page, so it stays readable on any screen. They need no script, and follow the colours of the
style sheet. Pure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

WIDTH, HEIGHT = 1000, 14
LEAST_WIDTH = 3.0
"""Of a span, so that it is seen."""
TICKS = 5
BARS_HEIGHT = 60
BAR_WIDTH = 20
BAR_GAP = 0.2
PLACES = 30
"""For so many bars there is room; fewer stand on the right."""
TENTHS_SECONDS, CLOCK_SECONDS, DATE_SECONDS = 10.0, 600.0, 86_400.0


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasted.

    Attributes:
        begin: seconds since the epoch.
        end: the same; None if it lasts still.
        look: the class of the style sheet that colours it, such as ``good``.
        told: what it is, for those who point at it.
    """

    begin: float
    end: float | None
    look: str
    told: str


@dataclass(frozen=True, slots=True)
class Lane:
    """Spans in one line, under a name."""

    name: str
    spans: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Bar:
    """A value of a row of bars.

    Attributes:
        look: the class of the style sheet that colours it.
        told: what it is, for those who point at it.
    """

    value: float
    look: str
    told: str


def timeline(title: str, lanes: Sequence[Lane], *, now: float) -> str:
    """What happened when.

    Args:
        title: what it shows.
        lanes: from top to bottom; what lasts still reaches to the right edge.
        now: the time of the right edge, if anything lasts still; otherwise that is where the last span ends.
    """
    spans = [span for lane in lanes for span in lane.spans]
    begin = min((span.begin for span in spans), default=now)
    last = max((now if span.end is None else span.end for span in spans), default=now)
    return "".join(_timeline(title, lanes, begin, max(last, begin + 0.001)))


def _timeline(title: str, lanes: Sequence[Lane], begin: float, end: float) -> Iterator[str]:
    yield f'<div class="timeline" role="group" aria-label="{escape(title)}">'
    for lane in lanes:
        yield f'<div class="lane"><span>{escape(lane.name)}</span>'
        yield f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img"><title>{_told(lane)}</title>'
        for span in lane.spans:
            yield _drawn(span, begin, end)
        yield "</svg></div>"
    yield '<div class="lane"><span>UTC</span><div class="ticks">'
    for number in range(TICKS):
        yield f"<span>{_clock(begin + (end - begin) * number / (TICKS - 1), end - begin)}</span>"
    yield "</div></div></div>"


def _told(lane: Lane) -> str:
    """What a lane shows, in words."""
    last = lane.spans[-1].told if lane.spans else "nothing"
    return escape(f"{lane.name}: {len(lane.spans)} in all, the last one: {last}")


def _drawn(span: Span, begin: float, end: float) -> str:
    scale = WIDTH / (end - begin)
    width = max(LEAST_WIDTH, ((end if span.end is None else span.end) - span.begin) * scale)
    x = min((span.begin - begin) * scale, WIDTH - width)
    drawn = f'<rect class="bar {span.look}" x="{x:.1f}" width="{width:.1f}" y="0" height="{HEIGHT}">'
    return f"{drawn}<title>{escape(span.told)}</title></rect>"


def _clock(at: float, seconds: float) -> str:
    """A moment, as exactly as a timeline of so many seconds needs it."""
    moment = datetime.fromtimestamp(at, UTC)
    if seconds > DATE_SECONDS:
        return f"{moment:%d %b %H:%M}"
    if seconds <= TENTHS_SECONDS:
        return f"{moment:%H:%M:%S}.{moment.microsecond // 100_000}"
    return f"{moment:%H:%M:%S}" if seconds <= CLOCK_SECONDS else f"{moment:%H:%M}"


def bars(title: str, drawn: Sequence[Bar]) -> str:
    """Values side by side, the first one on the left; the highest bar is the greatest value."""
    return "".join(_bars(title, drawn))


def _bars(title: str, drawn: Sequence[Bar]) -> Iterator[str]:
    most = max((bar.value for bar in drawn), default=0.0) or 1.0
    places = max(len(drawn), PLACES)
    width = BAR_WIDTH * places
    yield f'<svg class="bars" role="img" viewBox="0 0 {width} {BARS_HEIGHT}" preserveAspectRatio="none">'
    yield f"<title>{escape(title)}</title>"
    for number, bar in enumerate(drawn, places - len(drawn)):
        height = max(1.5, BARS_HEIGHT * bar.value / most)
        x, y = number * BAR_WIDTH + BAR_WIDTH * BAR_GAP / 2, BARS_HEIGHT - height
        drawn_bar = f'<rect class="bar {bar.look}" x="{x:.1f}" y="{y:.1f}" width="{BAR_WIDTH * (1 - BAR_GAP):.1f}"'
        yield f'{drawn_bar} height="{height:.1f}"><title>{escape(bar.told)}</title></rect>'
    yield "</svg>"
