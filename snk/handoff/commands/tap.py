"""``snk handoff tap``: what waits for a backend, decoded."""

import json
from itertools import islice
from typing import Annotated

import typer

from snk.errors import SettingsError
from snk.handoff.commands.common import Config, HostPort, Json, checked_backend
from snk.handoff.pending import waiting
from snk.handoff.settings import load_settings
from snk.handoff.state import State


def tap(
    backend: HostPort,
    *,
    values: Annotated[
        bool, typer.Option("--values", help="Show what is written, too: it may be confidential.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of lines.")] = 100,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show the lines that wait for a backend, decoded. Exit code 0 if none waits, 1 if some do."""
    settings, name = load_settings(config), checked_backend(backend)
    if not (settings.logs / name).is_dir():
        raise SettingsError(f"{name} has no folder in {str(settings.logs)!r}", hint="Its folder is named HOST:PORT")
    found = waiting(
        settings.logs, State(settings.state), name, settings.coding, values=values, most_line=settings.line_bytes_max
    )
    count = 0
    try:
        for each in islice(found, limit):
            count += 1
            if as_json:
                print(json.dumps(each.as_json, ensure_ascii=False))
            elif each.write is None:
                print(f"{each.log}:{each.line}  can never be sent: {each.why}")
            else:
                told = " ".join(f"{key}={value}" for key, value in each.write.items() if value != "")
                print(f"{each.log}:{each.line}  {told}")
    except OSError as error:
        raise SettingsError(f"{error.filename} cannot be read: {error.strerror}") from None
    raise typer.Exit(1 if count else 0)
