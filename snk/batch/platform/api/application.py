"""The API as an application."""

from fastapi import FastAPI

from snk.batch.platform.api.alerts import add_alerts
from snk.batch.platform.api.backfills import add_backfills
from snk.batch.platform.api.callbacks import add_callbacks
from snk.batch.platform.api.desk import Desk, answer_refusals
from snk.batch.platform.api.messages import add_messages
from snk.batch.platform.api.runs import add_runs
from snk.batch.platform.api.tasks import add_tasks
from snk.http.api.application import answer_errors, described_application
from snk.http.api.entry import Entry


def application(desk: Desk, entry: Entry, *, docs: bool, closed: bool) -> FastAPI:
    """The application, but for the pages of status.

    Args:
        desk: where requests are worked on.
        entry: lets clients in.
        docs: whether /docs and /openapi.json are there.
        closed: whether clients must say who they are.
    """
    app = described_application("SNK batch", docs=docs, closed=closed)
    for add in (add_messages, add_tasks, add_backfills, add_runs, add_callbacks, add_alerts):
        add(app, desk, entry)
    answer_errors(app)
    answer_refusals(app)
    return app
