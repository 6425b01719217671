"""``snk batch runs``: list runs."""

import json
from typing import Annotated

import typer

from snk.batch.commands.common import asked
from snk.batch.platform import looking
from snk.batch.platform.rows import Row
from snk.batch.state import State
from snk.core.shown import plain
from snk.options import Config, Json


def runs(
    task: Annotated[str | None, typer.Argument(help="Of this task or group only.")] = None,
    *,
    state: Annotated[list[State] | None, typer.Option(help="In this state only; may be given several times.")] = None,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=10_000)] = 20,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """List the newest runs, newest first."""
    states = [str(each) for each in state or ()]
    found = asked(config, lambda connection: looking.runs(connection, task, states, looking.Part(limit)))
    if as_json:
        print(json.dumps({"runs": found}))
        return
    for each in found:
        print(plain(line(each)))
    if not found:
        print("no runs")


def line(run: Row) -> str:
    """A run in one line."""
    words = [f"{run['id']:>6}  {run['state']:<12} {run['task']}"]
    if run["overdue"]:
        words.append("OVERDUE")
    if run["parent"]:
        words.append(f"of run {run['parent']}")
    if run["node"]:
        words.append(f"called by {run['node']}")
    if run["reason"]:
        words.append(run["reason"])
    return "  ".join(words)
