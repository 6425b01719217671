"""``snk handoff top``: the state of the backends, as it changes."""

import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from snk.errors import ServiceUnfit
from snk.handoff.commands.common import Config, asked
from snk.handoff.commands.status import line
from snk.handoff.settings import load_settings

COLUMNS = ("backend", "state", "wait", "oldest", "lines/s", "in flight", "synced", "dead", "unknown", "last error")
COLOURS = {"alive": "green", "held": "yellow", "unknown": "yellow"}


def top(
    *,
    every: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds from one look to the next.")] = 1.0,
    config: Config = None,
) -> None:
    """Show the backends until Ctrl-C; without a terminal, one line for each backend and look."""
    settings = load_settings(config)
    found = asked(settings)
    console = Console()
    if not console.is_terminal:
        while True:
            for name, backend in found["backends"].items():
                print(line(name, backend), flush=True)
            time.sleep(every)
            found = asked(settings)
    with Live(_table(found), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            try:
                live.update(_table(asked(settings)), refresh=True)
            except ServiceUnfit as error:
                live.update(str(error), refresh=True)


def _table(found: dict[str, Any]) -> Table:
    table = Table(*COLUMNS, caption="\n".join(found["troubles"]) or None, caption_style="red")
    for name, backend in found["backends"].items():
        colour = COLOURS.get(backend["state"], "red")
        table.add_row(
            name,
            f"[{colour}]{backend['state']}[/]",
            f"{backend['pending_lines']:,}",
            f"{backend['oldest_seconds']:,.0f} s" if backend["pending_lines"] else "",
            f"{backend['lines_per_second']:,.0f}",
            f"{backend['in_flight']} of {backend['slots']}",
            *(f"{backend[key]:,}" for key in ("synced", "dead", "unknown")),
            backend["last_error"][:60],
        )
    return table
