"""The pages of the pipeline."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from markupsafe import Markup
from starlette.requests import Request

from snk.http.door import Door
from snk.http.portal.charts import Line, lines
from snk.http.portal.events import MOST_EVENTS, events
from snk.http.portal.minutes import HOURS
from snk.http.portal.page import Action, Page
from snk.http.portal.site import About, Site
from snk.log import RECENT
from snk.pipeline.aside import Aside, all_aside, shown
from snk.pipeline.portal import calendar
from snk.pipeline.portal.doing import ALL, Doing, mark
from snk.pipeline.portal.known import acknowledged, end_of, known_of
from snk.pipeline.portal.measured import Measured
from snk.pipeline.space import Space
from snk.pipeline.status import Recent, Status

TEMPLATES = Path(__file__).parent / "templates"
MOST_LISTED = 100
MOST_ASIDE = 200
MOST_SHOWN = 20
MOST_LOOKED_AT = 10_000
"""Records among which the one that is to blame is looked for."""
MOST_CHARACTERS = 2000
"""Of a record that is shown."""
REASONS = 5


class PipelinePages:
    """What the pages show of a pipeline."""

    def __init__(self, space: Space, recent: Recent, measured: Measured) -> None:
        self._space = space
        self._recent = recent
        self._measured = measured
        self._doing = Doing(space)
        self._records: dict[str, Sequence[tuple[int, str]]] = {}

    def pages(self) -> list[Page]:
        """All pages."""
        parts = ("processes", "charts", "calendar", "events")
        return [
            Page("/", "Overview", "overview.html", self._overview, parts, "Overview"),
            Page("/frames/{frame}", "Frame", "frame.html", self._frame, ("frame",)),
            Page("/frames/{frame}/again", "Pull again", "again.html", self._again),
            Page("/quarantine", "Quarantine", "quarantine.html", self._quarantine, ("quarantine",), "Quarantine"),
            Page("/quarantine/{name}/retry", "Try again", "retry.html", self._aside),
            Page("/quarantine/{name}/drop", "Give up", "drop.html", self._aside),
            Page("/events", "Events", "events.html", self._events, ("all_events",), "Events"),
        ]

    def actions(self) -> list[Action]:
        """What its forms do."""
        return [
            Action("/frames/{frame}/again", self._doing.again, "/"),
            Action("/quarantine/{name}/retry", self._doing.retry, "/quarantine"),
            Action("/quarantine/{name}/drop", self._doing.drop, "/quarantine"),
        ]

    async def _overview(self, request: Request) -> Mapping[str, Any]:
        status = self._recent.status()
        return {
            "told": status,
            "processes": (("pull", status.pull), ("push", status.push)),
            "reasons": REASONS,
            "charts": self._charts(),
            "span": self._measured.history.seconds,
            "events": events(RECENT, MOST_EVENTS),
            **self._calendar(request, status),
        }

    def _calendar(self, request: Request, status: Status) -> Mapping[str, Any]:
        grid, frames = self._space.grid, self._recent.frames()
        today = _today(status)
        wanted = calendar.day_named(grid, request.query_params.get("day", ""), today)
        hour = request.query_params.get("hour", "")
        listing = hour.isdecimal() and len(hour) <= 2 and int(hour) < HOURS  # noqa: PLR2004 - two digits
        listed, more = calendar.listed(grid, frames, wanted, int(hour)) if listing else ([], 0)
        return {
            "day": calendar.day_of(grid, frames, wanted, today),
            "today": today,
            "hour": int(hour) if listing else None,
            "listed": listed,
            "more": more,
        }

    async def _frame(self, request: Request) -> Mapping[str, Any]:
        name = request.path_params["frame"]
        portion = self._space.grid.portion(name)
        if portion is None or portion.part:
            return {"status": 404, "name": name, "known": None}
        known = known_of(self._space, self._recent, portion.frame)
        found = [each for piece in known.pieces for each in piece.aside]
        records = [record for each in found for record in await self._records_of(each)]
        return {"known": known, "kinds": dict(zip(calendar.SIGNS, calendar.KINDS, strict=True)), "records": records}

    async def _records_of(self, aside: Aside) -> Sequence[tuple[int, str]]:
        """The records that are shown of a portion in quarantine; its file does not change."""
        key = f"{aside.name} {aside.reason.at}"
        if key not in self._records:
            found = await asyncio.to_thread(list, shown(self._space, aside, MOST_LOOKED_AT))
            if len(self._records) >= MOST_SHOWN:
                self._records.clear()
            self._records[key] = [(number, text[:MOST_CHARACTERS]) for number, text in found]
        return self._records[key]

    async def _again(self, request: Request) -> Mapping[str, Any]:
        return {"known": known_of(self._space, self._recent, self._doing.frame(request.path_params["frame"]))}

    async def _quarantine(self, _: Request) -> Mapping[str, Any]:
        number = self._recent.status().quarantined
        return {"found": list(islice(all_aside(self._space), MOST_ASIDE)), "number": number, "name_of": self._name}

    async def _aside(self, request: Request) -> Mapping[str, Any]:
        name = request.path_params["name"]
        found = self._doing.wanted(name)
        return {
            "name": name,
            "every": name == ALL,
            "found": [
                (each, end_of(self._space, each.portion), acknowledged(self._space, each.portion))
                for each in found[:MOST_SHOWN]
            ],
            "number": len(found),
            "seen": mark(found),
        }

    async def _events(self, _: Request) -> Mapping[str, Any]:
        return {"events": events(RECENT, MOST_LISTED)}

    def _name(self, aside: Aside) -> str:
        return self._space.grid.name(aside.portion)

    def _charts(self) -> tuple[Markup, Markup]:
        history = self._measured.history
        last = history.samples[-1].at if history.samples else time.time()

        def chart(title: str, unit: str, **looks: str) -> Markup:
            drawn = [Line(name, history.series(name), look) for name, look in looks.items()]
            return Markup(lines(title, drawn, now=last, seconds=history.seconds, unit=unit))  # noqa: S704 - made there

        return (
            chart("Records per second", "records/s", pull="one", push="two"),
            chart("Lag in seconds", "s", lag="three"),
        )


def _today(status: Status) -> date:
    """The day on the clock of the source, as far as it is known."""
    now = status.pull.source_now if status.pull.fresh and status.pull.source_now else time.time()
    return datetime.fromtimestamp(now, UTC).date()


def site(space: Space, recent: Recent, measured: Measured, *, door: Door, stop: asyncio.Event) -> Site:
    """The portal of a pipeline."""
    about = About("pipeline", str(space.root), lambda: recent.status().troubles)
    shown = PipelinePages(space, recent, measured)
    return Site(about, TEMPLATES, shown.pages(), shown.actions(), door=door, stop=stop)
