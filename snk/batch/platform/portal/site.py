"""The portal of a node, beside its API."""

import asyncio
from pathlib import Path

from starlette.applications import Starlette
from starlette.types import ASGIApp

from snk.batch.platform.api.desk import Desk
from snk.batch.platform.portal.backfill_deeds import BackfillDeeds
from snk.batch.platform.portal.bulk import BulkDeeds
from snk.batch.platform.portal.run_deeds import RunDeeds
from snk.batch.platform.portal.runs import RunPages
from snk.batch.platform.portal.task_deeds import TaskDeeds
from snk.batch.platform.portal.tasks import TaskPages
from snk.batch.platform.portal.viewing import Viewing
from snk.batch.platform.portal.watch import WatchPages
from snk.http.portal.clients import Beside, ClientDoor, ClientGuard
from snk.http.portal.site import About, Site

TEMPLATES = Path(__file__).parent / "templates"


def beside(api: ASGIApp, desk: Desk, node: str, door: ClientDoor, stop: asyncio.Event) -> ASGIApp:
    """An API with the portal beside it.

    Args:
        api: of the node.
        desk: where the tables are looked at and changed.
        node: its name.
        door: who may come in.
        stop: ends all streams.
    """
    viewing = Viewing(desk)
    pages = [page for each in (TaskPages, RunPages, WatchPages) for page in each(viewing).pages()]
    questions = [each(viewing, desk) for each in (RunDeeds, TaskDeeds, BackfillDeeds, BulkDeeds)]
    asked = [page for each in questions for page in each.pages()]
    deeds = [deed for each in questions for deed in each.deeds()]
    about = About("batch", node, lambda: ())
    routes = Site(about, TEMPLATES, [*pages, *asked], deeds, door=door, stop=stop).routes()
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return Beside(api, ClientGuard(app, door), routes)
