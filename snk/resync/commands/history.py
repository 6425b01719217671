"""``snk resync history``: the plans that were applied to a project."""

import json
from dataclasses import asdict

import uvloop

from snk.db import journal
from snk.db.journal import Entry
from snk.db.server import Server
from snk.options import Config, Json
from snk.resync.commands.common import Project
from snk.resync.database import snapshot
from snk.resync.model import repair_of
from snk.resync.report import some, totals
from snk.resync.run import KIND
from snk.resync.settings import load_settings


def history(project: Project, *, as_json: Json = False, config: Config = None) -> None:
    """Show what was done to a project, and when, from the journal in its database."""
    entries = uvloop.run(_entries(Server("database", load_settings(config).database_dsn), project))
    if as_json:
        print(json.dumps([asdict(entry) for entry in entries], default=str))
        return
    if not entries:
        print(f"nothing was done to project {project}")
    for entry in entries:
        _show(entry)


async def _entries(server: Server, project: str) -> list[Entry]:
    async with snapshot(server) as connection:
        return await journal.entries(connection, KIND, project)


def _show(entry: Entry) -> None:
    ended = "" if entry.finished_at else "; the run ended before its counters were raised"
    actions = [repair_of(action) for action in entry.actions]
    print(f"{entry.applied_at:%Y-%m-%d %H:%M:%S} UTC  plan {entry.plan} by {entry.role}: {totals(actions)}{ended}")
    overtaken = entry.overtaken or []
    for line in some(f"  {action}{'  OVERTAKEN' if action.as_json in overtaken else ''}" for action in actions):
        print(line)
