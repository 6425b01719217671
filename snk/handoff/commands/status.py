"""``snk handoff status``: what the running server knows."""

import json
from typing import Any

import typer

from snk.core.shown import plain
from snk.core.words import counted
from snk.handoff.commands.common import status_of
from snk.handoff.settings import load_settings
from snk.options import Config, Json


def status(*, as_json: Json = False, config: Config = None) -> None:
    """Show the state of each backend. Exit code 0 if all is well, 1 if something needs a person."""
    found = status_of(load_settings(config))
    if as_json:
        print(json.dumps(found))
    else:
        for name, backend in found["backends"].items():
            print(line(name, backend))
        for name, backend in found["backends"].items():
            if backend["state"] == "held":
                minutes = backend["held_seconds"] / 60
                print(f"{name} is paused by hand for {minutes:,.0f} min; `snk handoff resume {name}` takes it back")
        for trouble in found["troubles"]:
            print(plain(f"! {trouble}"))
        for name, why in found["ignored"].items():
            print(plain(f"ignored: {name}: {why}"))
        if found["quarantined"]:
            print(f"quarantine: {counted(found['quarantined'], 'file')} of progress that could not be used")
        if not found["backends"]:
            print("no backend has a folder yet")
    raise typer.Exit(1 if found["troubles"] else 0)


def line(name: str, backend: dict[str, Any]) -> str:
    """One backend in one line."""
    counts = (
        f"{backend['pending_lines']:,} wait, {backend['synced']:,} synced, {backend['dead']:,} dead,"
        f" {backend['unknown']:,} unknown, {backend['lines_per_second']:,.0f} lines/s"
    )
    return f"{name}  {backend['state']:8}  {counts}"
