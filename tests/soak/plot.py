"""A plot of a soak, as SVG."""

from collections.abc import Sequence
from html import escape

from tests.soak.faults import Happened
from tests.soak.samples import Sample

WIDTH, LEFT, RIGHT, PANEL, GAP, TOP = 1100, 70, 20, 130, 34, 40
COLOURS = ("#1f5fa8", "#c2571a", "#3a8a3f", "#7a4fa3")
Line = tuple[str, list[tuple[float, float]]]


def plot(title: str, samples: Sequence[Sample], happened: Sequence[Happened]) -> str:
    """Four panels over time, each fault a bar below them in a row of its kind."""
    seconds = max(sample.at_seconds for sample in samples)
    panels: list[tuple[str, list[Line]]] = [
        ("rows/s", [("committed", _rates(samples, "rows")), ("delivered", _rates(samples, "delivered"))]),
        ("memory of the daemons, MiB", _memory(samples)),
        ("holes (intervals)", [("", [(sample.at_seconds, sample.holes) for sample in samples])]),
        ("lag, s", [("", [(sample.at_seconds, sample.lag_seconds) for sample in samples])]),
    ]
    parts = [_text(LEFT, 22, title, size=15)]
    for at, (name, lines) in enumerate(panels):
        parts += _panel(TOP + at * (PANEL + GAP), name, lines, seconds)
    below = TOP + len(panels) * (PANEL + GAP)
    faults, height = _faults(below, happened, seconds)
    style = 'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" style="background:#fff"'
    body = "\n".join([*parts, *faults])
    return f'<svg {style} viewBox="0 0 {WIDTH} {below + height}">\n{body}\n</svg>\n'


def _rates(samples: Sequence[Sample], name: str) -> list[tuple[float, float]]:
    """Rows a second between every other two samples."""
    return [
        (late.at_seconds, (getattr(late, name) - getattr(early, name)) / (late.at_seconds - early.at_seconds))
        for early, late in zip(samples, samples[3:], strict=False)
    ]


def _memory(samples: Sequence[Sample]) -> list[Line]:
    """One line for each process, in the colour of its daemon as far as that can be told."""
    pids = list(dict.fromkeys(pid for sample in samples for pid in sample.memory_mib))
    return [
        ("", [(sample.at_seconds, sample.memory_mib[pid]) for sample in samples if pid in sample.memory_mib])
        for pid in pids
    ]


def _panel(top: float, name: str, lines: Sequence[Line], seconds: float) -> list[str]:
    most = max([value for _, points in lines for _, value in points] or [0.0]) or 1.0
    parts = [f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - RIGHT}" height="{PANEL}" fill="none" stroke="#bbb"/>']
    parts.append(_text(LEFT, top - 5, name))
    parts += [
        _text(LEFT - 6, top + PANEL * (1 - share) + 4, f"{most * share:,.5g}", anchor="end")
        for share in (0.0, 0.5, 1.0)
    ]
    for at, (label, points) in enumerate(lines):
        colour = COLOURS[at % len(COLOURS)]
        places = " ".join(f"{_x(x, seconds):.1f},{top + PANEL * (1 - max(0, y) / most):.1f}" for x, y in points)
        parts.append(f'<polyline points="{places}" fill="none" stroke="{colour}"/>')
        if label:
            parts.append(_text(LEFT + 80 + 90 * at, top - 5, label, colour=colour))
    return parts


def _faults(top: float, happened: Sequence[Happened], seconds: float) -> tuple[list[str], float]:
    kinds = sorted({fault.kind for fault in happened})
    parts = [_text(LEFT, top - 5, f"faults: {len(happened)}")]
    for at, kind in enumerate(kinds):
        y = top + 14 * at
        parts.append(_text(LEFT, y + 10, kind, size=10))
        for fault in happened:
            if fault.kind == kind:
                x = _x(fault.began_seconds, seconds)
                width = max(2.0, _x(fault.ended_seconds, seconds) - x)
                parts.append(
                    f'<rect x="{x:.1f}" y="{y + 2}" width="{width:.1f}" height="9" fill="#b3261e" opacity="0.7">'
                    f"<title>{escape(f'{fault.began_seconds:.1f} s: {fault.what}')}</title></rect>"
                )
    bottom = top + 14 * len(kinds)
    step = max(1, round(seconds / 10 / 60)) * 60 if seconds > 300 else 10
    parts += [
        _text(_x(at, seconds), bottom + 14, f"{at // 60}:{at % 60:02}", anchor="middle")
        for at in range(0, int(seconds) + 1, step)
    ]
    return parts, 14 * len(kinds) + 24


def _x(at: float, seconds: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * at / seconds


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 11, colour: str = "#333") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
    )
