"""The result of a comparison as one HTML page that needs nothing else: counts, a map of the differences, the plan."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from snk.files.atomic import write_whole
from snk.pair.verify.compare import Comparison
from snk.pair.verify.search import KINDS, Kind

COLUMNS, ROWS, CELL = 64, 16, 14
"""The map: each cell stands for an equal part of all uuids, in their order."""
COLOURS: dict[Kind, str] = {"only_in_first": "#2b6cb0", "only_in_second": "#b7791f", "different": "#c53030"}
WORDS: dict[Kind, str] = {
    "only_in_first": "only in first; a repair copies them to second",
    "only_in_second": "only in second; a repair copies them to first",
    "different": "different; a person settles them, see snk conflicts",
}
HEAD = ("table", "rows in first", "in second", "only in first", "only in second", "different", "seconds")
LISTED = 1000
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; color: #1a202c }
h1 { font-size: 1.5em } h2 { font-size: 1.2em; margin-top: 2em }
table { border-collapse: collapse } td, th { padding: .2em .9em .2em 0; text-align: right } th:first-child,
td:first-child { text-align: left } svg { max-width: 100%; height: auto; border: 1px solid #cbd5e0 }
.equal { color: #276749 } .unequal { color: #c53030 } code { font-size: 13px } summary { cursor: pointer }
@media (prefers-color-scheme: dark) { body { background: #1a202c; color: #e2e8f0 } .equal { color: #68d391 } }
"""


def write_page(file: Path, results: Sequence[Comparison]) -> None:
    """Write the page.

    Raises:
        SettingsError: the file cannot be written.
    """
    write_whole(file, "".join(_page(results)))


def _page(results: Sequence[Comparison]) -> Iterator[str]:
    equal = all(result.equal for result in results)
    verdict = "equal" if equal else "DIFFERENT"
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>SNK: {verdict}</title>'
    yield f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
    yield f'<h1>Both sides are <span class="{"" if equal else "un"}equal">{verdict}</span></h1>'
    yield f"<p>Compared on {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC by <code>snk verify</code>.</p>"
    yield f"<table><tr>{''.join(f'<th>{name}' for name in HEAD)}"
    for result in results:
        counts = "".join(f"<td>{len(getattr(result, kind)):,}" for kind in KINDS)
        rows = f"<td>{result.rows.first:,}<td>{result.rows.second:,}"
        yield f"<tr><td>{escape(result.table)}{rows}{counts}<td>{result.seconds:.2f}"
    yield "</table>"
    for result in results:
        if not result.equal:
            yield from _differences(result)
    yield "</body></html>\n"


def _differences(result: Comparison) -> Iterator[str]:
    yield f"<h2>{escape(result.table)}</h2>"
    if not result.complete:
        yield "<p>The search stopped early; more rows may differ.</p>"
    yield "<p>All uuids in their order, row by row. A cell is coloured where rows differ.</p>"
    yield from _map(result)
    for kind in KINDS:
        found: tuple[str, ...] = getattr(result, kind)
        if not found:
            continue
        yield f'<details{" open" if len(found) <= 20 else ""}><summary style="color:{COLOURS[kind]}">'  # noqa: PLR2004
        yield f"{len(found):,} {WORDS[kind]}</summary><p>"
        yield "<br>".join(f"<code>{escape(uuid)}</code>" for uuid in found[:LISTED])
        yield f"<br>and {len(found) - LISTED:,} more" if len(found) > LISTED else ""
        yield "</p></details>"


def _map(result: Comparison) -> Iterator[str]:
    """Where the differences sit; a cell with several kinds has the colour of the one that a person must settle."""
    cells: dict[int, tuple[Kind, int]] = {}
    for kind in KINDS:
        for uuid in getattr(result, kind):
            at = int(uuid[:8], 16) * COLUMNS * ROWS >> 32
            cells[at] = (kind, cells.get(at, (kind, 0))[1] + 1)
    width, height = COLUMNS * CELL, ROWS * CELL
    yield f'<svg role="img" aria-label="map of differences" viewBox="0 0 {width} {height}" width="{width}">'
    for at, (kind, count) in sorted(cells.items()):
        x, y = at % COLUMNS * CELL, at // COLUMNS * CELL
        yield f'<rect x="{x}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" fill="{COLOURS[kind]}" class="cell">'
        yield f"<title>{count:,} from {at * 2**32 // (COLUMNS * ROWS):08x}</title></rect>"
    yield "</svg>"
