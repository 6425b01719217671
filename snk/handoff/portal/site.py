"""The pages of the hand-off."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from starlette.requests import Request

from snk.errors import SettingsError
from snk.handoff.dead import DeadLetters
from snk.handoff.log import Log
from snk.handoff.portal import overview
from snk.handoff.portal.handling import DONE, MOST_AT_ONCE, Chosen, Handling
from snk.handoff.portal.letters import LetterRow, Listings, Said, said
from snk.handoff.portal.measured import ALL, Measured
from snk.handoff.server import Server
from snk.handoff.settings import Handoff
from snk.handoff.status import Watcher
from snk.http.door import SignIn
from snk.http.portal.charts import Line, lines
from snk.http.portal.events import MOST_EVENTS, events
from snk.http.portal.page import Action, Page
from snk.http.portal.site import About, Site
from snk.log import RECENT

TEMPLATES = Path(__file__).parent / "templates"
MOST_GROUPS = 20
MOST_OF_EACH = 10
MOST_OF_ONE = 100
MOST_ALL_EVENTS = 500
MOST_PREVIEWED = 10
VERBS = tuple(DONE)


@dataclass(frozen=True, slots=True)
class Sources:
    """What the pages are made from."""

    server: Server
    watcher: Watcher
    measured: Measured
    settings: Handoff

    @property
    def letters(self) -> DeadLetters:
        """The dead letters."""
        return self.server.letters


class HandoffPages:
    """What the pages show of a sync server."""

    def __init__(self, sources: Sources, handling: Handling) -> None:
        self._sources = sources
        self._handling = handling
        self._listings = Listings(sources.letters)

    def pages(self) -> list[Page]:
        """All pages."""
        one = ("backend", "backend_charts", "logs", "events_of_one")
        return [
            Page(
                "/", "Overview", "overview.html", self._overview, ("totals", "charts", "backends", "events"), "Overview"
            ),
            Page("/backends/{backend}", "Backend", "backend.html", self._backend, one),
            Page("/dead", "Dead letters", "dead.html", self._dead, ("work", "dead"), "Dead letters"),
            Page("/dead/confirm", "Confirm", "confirm.html", self._confirm),
            Page("/dead/{backend}/{letter}", "Dead letter", "letter.html", self._letter),
            Page("/events", "Events", "events.html", self._events, ("all_events",), "Events"),
        ]

    async def _overview(self, _: Request) -> Mapping[str, Any]:
        status = self._sources.watcher.status()
        rows = overview.backends(status)
        worse = [row for row in rows if row.needs_a_look]
        return {
            "told": status,
            "totals": overview.totals(status),
            "rows": rows[: overview.MOST_BACKENDS],
            "more": max(0, len(rows) - overview.MOST_BACKENDS),
            "worse": worse[: overview.MOST_CARDS],
            "others": max(0, len(worse) - overview.MOST_CARDS),
            "others_of_server": [*status.limits, *([status.disk] if status.disk else [])],
            "charts": self._charts(ALL),
            "span": self._sources.measured.history.seconds,
            "events": events(RECENT, MOST_EVENTS),
        }

    async def _backend(self, request: Request) -> Mapping[str, Any]:
        name = request.path_params["backend"]
        status = self._sources.watcher.status()
        lane, known = self._sources.server.lanes.get(name), status.backends.get(name)
        return {
            "status": 200 if known else 404,
            "name": name,
            "row": overview.BackendRow(name, known) if known else None,
            "logs": overview.logs(lane.backend) if lane else [],
            "log_count": len(lane.backend.logs) if lane else 0,
            "charts": self._charts(name),
            "span": self._sources.measured.history.seconds,
            "events": events(overview.of_backend(RECENT, name), MOST_EVENTS),
        }

    async def _dead(self, request: Request) -> Mapping[str, Any]:
        backend = request.query_params.get("backend", "")
        known = [name for name in self._sources.letters.backends if self._sources.letters.count(name)]
        shown = [name for name in known if name == backend] if backend else known
        most = MOST_OF_ONE if backend else MOST_OF_EACH
        return {
            "backend": backend,
            "groups": [self._listings.group(name, most) for name in shown[:MOST_GROUPS]],
            "more": [self._listings.group(name, 0) for name in shown[MOST_GROUPS : MOST_GROUPS * 2]],
            "many": len(shown),
            "work": self._handling.work,
            "most": MOST_AT_ONCE,
        }

    async def _letter(self, request: Request) -> Mapping[str, Any]:
        row = await asyncio.to_thread(self._found, "{backend}/{letter}".format(**request.path_params))
        shown = await asyncio.to_thread(self._said, row) if row else None
        return {"status": 200 if row else 404, "row": row, "said": shown}

    async def _confirm(self, request: Request) -> Mapping[str, Any]:
        asked = request.query_params
        verb, name, backend = asked.get("do", ""), asked.get("letter", ""), asked.get("backend", "")
        if verb not in VERBS:
            raise SettingsError("The address does not say what to do", hint="Come here from a dead letter")
        chosen = await asyncio.to_thread(self._chosen, name, backend)
        names = chosen.names[:MOST_PREVIEWED]
        rows = await asyncio.to_thread(lambda: [row for each in names if (row := self._found(each))])
        status = self._sources.watcher.status().backends.get(chosen.backend)
        return {
            "verb": verb,
            "name": name,
            "chosen": chosen,
            "rows": rows,
            "row": overview.BackendRow(chosen.backend, status) if status else None,
            "status": 200 if chosen.names else 404,
        }

    async def _events(self, _: Request) -> Mapping[str, Any]:
        return {"events": events(RECENT, MOST_ALL_EVENTS)}

    def _chosen(self, name: str, backend: str) -> Chosen:
        return self._handling.one(name) if name else self._handling.all_of(backend)

    def _found(self, name: str) -> LetterRow | None:
        try:
            return LetterRow(name, self._sources.letters.head(name))
        except (SettingsError, OSError):
            return None

    def _said(self, row: LetterRow) -> Said:
        return said(self._sources.letters, row, self._sources.settings.coding, time.time())

    def _charts(self, name: str) -> Sequence[Markup]:
        """Backlog and rate."""
        history = self._sources.measured.history
        last = history.samples[-1].at if history.samples else time.time()

        def chart(title: str, value: str, unit: str, look: str) -> Markup:
            drawn = [Line(value, history.series(f"{value} {name}"), look)]
            return Markup(lines(title, drawn, now=last, seconds=history.seconds, unit=unit))  # noqa: S704 - made there

        return (
            chart("Lines that wait", "backlog", "lines", "two"),
            chart("Lines per second", "rate", "lines/s", "one"),
        )


def site(sources: Sources, *, door: SignIn, stop: asyncio.Event) -> Site:
    """The portal of a sync server."""
    settings = sources.settings
    handling = Handling(sources.letters, lambda: Log(settings.logs, settings.coding), settings.line_bytes_max)
    about = About("hand-off", f"{settings.host}:{settings.port}", lambda: sources.watcher.status().troubles)
    actions = (
        Action("/dead/replay", handling.replay, "/dead"),
        Action("/dead/drop", handling.drop, "/dead"),
    )
    return Site(about, TEMPLATES, HandoffPages(sources, handling).pages(), actions, door=door, stop=stop)
