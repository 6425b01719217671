"""The portal's own page: all processes with their health."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request

from snk.http.door import Door
from snk.http.portal.page import Page
from snk.http.portal.site import About, Site
from snk.portal.reached import Processes

TEMPLATES = Path(__file__).parent / "templates"


def site(processes: Processes, *, door: Door, stop: asyncio.Event) -> Site:
    """The page."""

    async def look(_: Request) -> Mapping[str, Any]:
        return {"processes": await processes.health()}

    pages = [Page("/", "Processes", "processes.html", look, ("processes",))]
    return Site(About("portal", "portal", tuple), TEMPLATES, pages, (), door=door, stop=stop)
