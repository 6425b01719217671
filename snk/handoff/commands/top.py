"""``snk handoff top``: the state of the backends, as it changes."""

import sys
import time
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from snk.core.shown import plain
from snk.errors import ServiceUnfit
from snk.handoff.commands.common import printing, status_of
from snk.handoff.commands.status import line
from snk.handoff.settings import load_settings
from snk.options import Config

COLUMNS = ("backend", "state", "wait", "oldest", "lines/s", "in flight", "synced", "dead", "unknown", "last error")
COLOURS = {"alive": "green", "held": "yellow", "unknown": "yellow"}


def top(
    *,
    every: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds from one look to the next.")] = 1.0,
    config: Config = None,
) -> None:
    """Show the backends until Ctrl-C; without a terminal, lines with the time for each backend, trouble and look."""
    settings = load_settings(config)
    found = status_of(settings)
    console = Console()
    if not console.is_terminal:
        with printing():
            while True:
                _print(found)
                time.sleep(every)
                found = status_of(settings)
    with Live(_table(found), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            try:
                live.update(_table(status_of(settings)), refresh=True)
            except ServiceUnfit as error:
                live.update(str(error), refresh=True)


def _print(found: dict[str, Any]) -> None:
    """One look, as lines."""
    now = datetime.now().isoformat(" ", "seconds")  # noqa: DTZ005 - as on the clock of who reads it
    for name, backend in found["backends"].items():
        print(f"{now}  {line(name, backend)}")
    for trouble in found["troubles"]:
        print(plain(f"{now}  ! {trouble}"))
    sys.stdout.flush()


def _table(found: dict[str, Any]) -> Table:
    table = Table(*COLUMNS, caption=escape("\n".join(found["troubles"])) or None, caption_style="red")
    for name, backend in found["backends"].items():
        colour = COLOURS.get(backend["state"], "red")
        table.add_row(
            escape(name),
            f"[{colour}]{backend['state']}[/]",
            f"{backend['pending_lines']:,}",
            f"{backend['oldest_seconds']:,.0f} s" if backend["pending_lines"] else "",
            f"{backend['lines_per_second']:,.0f}",
            f"{backend['in_flight']} of {backend['slots']}",
            *(f"{backend[key]:,}" for key in ("synced", "dead", "unknown")),
            escape(plain(backend["last_error"][:60])),
        )
    return table
