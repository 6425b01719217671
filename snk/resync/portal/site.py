"""The pages of the watch."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request

from snk.http.door import Door
from snk.http.portal.events import MOST_EVENTS, events
from snk.http.portal.history import EVERY_SECONDS, History
from snk.http.portal.page import Action, Done, Form, Page
from snk.http.portal.site import About, Site
from snk.log import RECENT
from snk.resync.portal import overview
from snk.resync.report import explained
from snk.resync.watch import Watch, WatchStatus

TEMPLATES = Path(__file__).parent / "templates"
MOST_PROJECTS = 100
MOST_LISTED = 100


class WatchPages:
    """What the pages show of a watch."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._history = History()
        self._seen: WatchStatus | None = None
        self._rows: list[overview.ProjectRow] = []
        self._chart: overview.Chart | None = None
        watch.ended = self._measure

    def pages(self) -> list[Page]:
        """All pages."""
        return [
            Page(
                "/", "Projects", "projects.html", self._projects, ("rounds", "chart", "projects", "events"), "Projects"
            ),
            Page("/projects/{project:path}", "Project", "project.html", self._project, ("project",)),
            Page("/events", "Events", "events.html", self._events, ("all_events",), "Events"),
        ]

    def actions(self) -> list[Action]:
        """What its forms do."""
        return [Action("/check", self._check, "/")]

    async def _projects(self, request: Request) -> Mapping[str, Any]:
        status, wanted = self._watch.status(), request.query_params.get("q", "")
        every, chart = self._every(status), self._drawn()
        found = [row for row in every if wanted.lower() in row.project.lower()]
        return {
            "told": status,
            "checked_seconds": overview.since_checked(status, time.time()),
            "every_seconds": self._watch.every_seconds,
            "rows": found[:MOST_PROJECTS],
            "found": len(found),
            "all": len(every),
            "q": wanted,
            "equal": sum(row.verdict.equal for row in every),
            "totals": overview.in_all(every),
            "kinds": overview.KINDS,
            "chart": chart,
            "span": self._history.seconds,
            "events": events(RECENT, MOST_EVENTS, together=False),
        }

    async def _project(self, request: Request) -> Mapping[str, Any]:
        name, status = request.path_params["project"], self._watch.status()
        row = next((row for row in self._every(status) if row.project == name), None)
        return {
            "status": 200 if row else 404,
            "name": name,
            "row": row,
            "rounds": status.rounds,
            "details": self._watch.details.get(name),
            "kinds": overview.KINDS,
            "explained": explained,
            "commands": overview.commands(name),
        }

    async def _events(self, _: Request) -> Mapping[str, Any]:
        return {"events": events(RECENT, MOST_LISTED, together=False)}

    async def _check(self, _: Form, __: str) -> Done:
        self._watch.check_now()
        return Done("The next round begins now.", "/")

    def _every(self, status: WatchStatus) -> list[overview.ProjectRow]:
        """All projects; they are the same until a round ends."""
        if status is not self._seen:
            self._seen, self._rows = status, overview.rows(status)
        return self._rows

    def _drawn(self) -> overview.Chart:
        """The chart; it is the same until something is measured."""
        if self._chart is None:
            self._chart = overview.chart(self._history, time.time())
        return self._chart

    def _measure(self, status: WatchStatus) -> None:
        """Keep what a round found, but not of every round if they follow each other quickly."""
        samples, now = self._history.samples, time.time()
        if not samples or now - samples[-1].at >= EVERY_SECONDS:
            self._history.add(now, overview.measured(status))
            self._chart = None


def site(watch: Watch, *, door: Door, stop: asyncio.Event) -> Site:
    """The portal of a watch."""
    about, shown = About("resync", "snk resync watch", lambda: watch.status().troubles), WatchPages(watch)
    return Site(about, TEMPLATES, shown.pages(), shown.actions(), door=door, stop=stop)
