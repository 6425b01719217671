"""``snk handoff tap``: what waits for a backend, decoded."""

import sys
from itertools import islice
from typing import Annotated

import typer

from snk.core.shown import document, plain
from snk.core.words import counted
from snk.errors import SettingsError
from snk.handoff.commands.common import HostPort, checked_backend, printing
from snk.handoff.pending import Shown, waiting
from snk.handoff.settings import load_settings
from snk.handoff.state import State
from snk.options import Config


def tap(
    backend: HostPort,
    *,
    values: Annotated[
        bool, typer.Option("--values", help="Show what is written, too: it may be confidential.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of lines.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    config: Config = None,
) -> None:
    """Show the lines that wait for a backend, decoded. Exit code 0 if none waits, 1 if some do."""
    settings, name = load_settings(config), checked_backend(backend)
    if not (settings.logs / name).is_dir():
        raise SettingsError(f"{name} has no folder in {str(settings.logs)!r}", hint="Its folder is named HOST:PORT")
    found = waiting(settings.logs, State(settings.state), name, settings.line_bytes_max)
    count = 0
    with printing():
        try:
            for each in islice(found, limit):
                count += 1
                shown = each.shown(settings.coding, values=values)
                print(document(shown.as_json) if as_json else _told(shown))
            if more := sum(1 for _ in found):
                # Not among JSON objects, of which each is a line that waits.
                print(f"… and {counted(more, 'line')} more", file=sys.stderr if as_json else sys.stdout)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise SettingsError(f"{error.filename} cannot be read: {error.strerror}") from None
    raise typer.Exit(1 if count else 0)


def _told(shown: Shown) -> str:
    place = f"{shown.log}:{shown.line}"
    if shown.write is None:
        return plain(f"{place}  can never be sent: {shown.why}")
    written = ((name, str(value)) for name, value in shown.write.items() if value != "")
    words = (f"{name}={value if value.isprintable() else document(value)}" for name, value in written)
    return f"{place}  {' '.join(words)}"
