"""``snk batch trigger``: start a task or a group by hand."""

import json
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from snk.batch.commands.common import Name, done, me
from snk.batch.platform import triggering
from snk.errors import SettingsError
from snk.options import Config, Json


def trigger(
    name: Name,
    *,
    key: Annotated[str, typer.Option(help="What identifies the trigger: the same key starts one run, ever.")] = "",
    payload: Annotated[str, typer.Option(help="A JSON object that is passed on to the consumer.")] = "{}",
    file: Annotated[list[str] | None, typer.Option(help="Only this file; may be given several times.")] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Start a task or a group, unless the key was used before; 1 if it was skipped because a run is under way."""
    given = triggering.Trigger(
        name, key or str(uuid.uuid4()), "person", me(), _object(payload), tuple(file) if file else None
    )
    found = done(config, lambda connection: triggering.trigger(connection, given))
    if as_json:
        print(json.dumps({"key": given.key, "outcome": found.outcome, "run": found.run, "again": found.again}))
    else:
        print(_TOLD[found.outcome].format(run=found.run) + (", as before" if found.again else ""))
    raise typer.Exit(1 if found.outcome == "skipped" else 0)


_TOLD = {"run": "run {run}", "joined": "joins run {run}, which waits", "skipped": "skipped: a run is under way"}


def _object(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"--payload is {text!r}, which is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise SettingsError(f"--payload is {text!r}; write a JSON object, such as {{}}")
    return found
