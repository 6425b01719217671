"""The pages of the pair."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from starlette.requests import Request

from snk.http.door import Door
from snk.http.portal.charts import Line, lines
from snk.http.portal.events import MOST_EVENTS, events
from snk.http.portal.page import Page
from snk.http.portal.site import About, Site
from snk.log import RECENT
from snk.pair.core.report import DaemonStatus
from snk.pair.core.summary import only, totals
from snk.pair.portal import overview
from snk.pair.portal.conflicts import ConflictPages
from snk.pair.portal.measured import WAYS, Measured
from snk.pair.portal.proof import ProofPages
from snk.pair.portal.reach import Reach
from snk.pair.portal.rejected import RejectedPages
from snk.pair.sync.daemon import Daemon

TEMPLATES = Path(__file__).parent / "templates"
MOST_LISTED = 100
SORTS = ("worst", "name", "lag", "rate", "waiting", "delivered")
LINE_LOOKS = ("one", "two")


class PairPages:
    """What the pages show of a daemon."""

    def __init__(self, daemon: Daemon, measured: Measured) -> None:
        self._daemon = daemon
        self._measured = measured

    def pages(self) -> list[Page]:
        """All pages."""
        return [
            Page("/", "Overview", "overview.html", self._overview, ("flows", "charts", "work", "events"), "Overview"),
            Page("/tables", "Tables", "tables.html", self._tables, ("tables",), "Tables"),
            Page("/tables/{table:path}", "Table", "table.html", self._table, ("table",)),
            Page("/events", "Events", "events.html", self._events, ("all_events",), "Events"),
        ]

    async def _overview(self, _: Request) -> Mapping[str, Any]:
        status = self._daemon.status()
        tables = overview.tables(status)
        return {
            "status": 200,
            "told": status,
            "ways": overview.ways(status),
            "totals": totals(status),
            "rows": tables[: overview.MOST_TABLES],
            "more": max(0, len(tables) - overview.MOST_TABLES),
            "left_out": overview.left_out(status),
            "held": overview.held_back(status),
            "blocker": overview.blocker,
            "proof": overview.proof(status),
            "places": [overview.place(address) for address in (status.first, status.second)],
            "charts": self._charts(),
            "span": self._measured.history.seconds,
            "events": events(RECENT, MOST_EVENTS),
        }

    async def _tables(self, request: Request) -> Mapping[str, Any]:
        wanted, sort = request.query_params.get("q", ""), request.query_params.get("sort", "worst")
        status = self._daemon.status()
        rows = [row for row in overview.tables(status) if wanted.lower() in row.table.lower()]
        sort = sort if sort in SORTS else "worst"
        page = _whole(request.query_params.get("page", "1"))
        return {
            "rows": sorted_by(rows, sort)[(page - 1) * MOST_LISTED : page * MOST_LISTED],
            "told": status,
            "left_out": overview.left_out(status),
            "found": len(rows),
            "q": wanted,
            "sort": sort,
            "sorts": SORTS,
            "page": page,
            "pages": max(1, -(-len(rows) // MOST_LISTED)),
        }

    async def _table(self, request: Request) -> Mapping[str, Any]:
        name = request.path_params["table"]
        status: DaemonStatus = only(self._daemon.status(), (name,))
        rows = overview.tables(status)
        return {
            "status": 200 if rows else 404,
            "name": name,
            "row": rows[0] if rows else None,
            "reason": status.left_out.get(name, ""),
            "blocker": overview.blocker,
        }

    async def _events(self, _: Request) -> Mapping[str, Any]:
        return {"events": events(RECENT, MOST_LISTED)}

    def _charts(self) -> Sequence[Markup]:
        seconds = self._measured.history.seconds

        def chart(title: str, name: str, unit: str) -> Markup:
            series = [(way, self._measured.history.series(f"{name} {way}")) for way in WAYS]
            drawn = [Line(way, points, look) for (way, points), look in zip(series, LINE_LOOKS, strict=True)]
            last = max((points[-1][0] for _, points in series if points), default=time.time())
            return Markup(lines(title, drawn, now=last, seconds=seconds, unit=unit))  # noqa: S704 - made there

        return (chart("Rows per second", "rate", "rows/s"), chart("Lag in seconds", "lag", "s"))


def _whole(text: str) -> int:
    """The number of a page; the first one if it is none."""
    return max(1, int(text)) if text.isascii() and text.isdecimal() and len(text) < 6 else 1  # noqa: PLR2004


def sorted_by(rows: list[overview.TableRow], sort: str) -> list[overview.TableRow]:
    """The tables in the order that somebody asked for; they are given with the worst first."""
    match sort:
        case "name":
            return sorted(rows, key=lambda row: row.table)
        case "lag":
            return sorted(rows, key=lambda row: -row.lag_seconds)
        case "rate":
            return sorted(rows, key=lambda row: -row.total("rows_per_second"))
        case "waiting":
            return sorted(rows, key=lambda row: -row.total("lag_rows"))
        case "delivered":
            return sorted(rows, key=lambda row: -row.total("delivered"))
        case _:
            return rows


def site(daemon: Daemon, measured: Measured, *, door: Door, stop: asyncio.Event) -> Site:
    """The portal of a daemon."""
    about = About("pair", daemon.name, daemon.troubles)
    reach, first = Reach(daemon), PairPages(daemon, measured)
    work = (ProofPages(daemon), ConflictPages(reach), RejectedPages(reach))
    seen = [*first.pages(), *(page for each in work for page in each.pages())]
    done = [action for each in work for action in each.actions()]
    return Site(about, TEMPLATES, seen, done, door=door, stop=stop)
