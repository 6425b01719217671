"""``snk batch backfill``: make up for ticks that never triggered."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import typer

from snk.batch.commands.common import Name, asked, done, me
from snk.batch.platform import backfilling
from snk.core.plan import Question, confirmed
from snk.core.words import counted
from snk.errors import SettingsError
from snk.options import Config, Json
from snk.terminal import answer


def backfill(
    name: Name,
    *,
    start: Annotated[str, typer.Option("--from", help="The first moment; without a zone, in that of the calendar.")],
    end: Annotated[str, typer.Option("--to", help="The first moment that does not count.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show it; 1 if anything would be triggered.")] = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show which ticks of a calendar never triggered, ask, and trigger them, oldest first."""
    first, last = _moment("--from", start), _moment("--to", end)
    found = asked(config, lambda connection: backfilling.preview(connection, name, first, last))
    if dry_run or not found.ticks:
        _show(found, as_json=as_json)
        raise typer.Exit(1 if found.ticks else 0)
    if not yes:
        _show(found, as_json=False)
        if not confirmed(Question("Trigger them?"), answer, lambda: _list(found), print):
            raise typer.Exit(1)
    found = done(config, lambda connection: backfilling.backfill(connection, name, first, last, me()))
    _show(found, as_json=as_json)


def _show(found: backfilling.Backfill, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found.as_json))
        return
    for line in _lines(found):
        print(line)


def _lines(found: backfilling.Backfill) -> Iterator[str]:
    what = f"{found.name}: {counted(len(found.ticks), 'tick')} of {found.cron!r} in {found.zone}"
    if found.ticks:
        what += f", from {found.ticks[0].isoformat()} to {found.ticks[-1].isoformat()}"
    yield what
    if found.existing:
        yield f"{counted(found.existing, 'tick')} triggered before, and left out"
    if found.runs:
        yield f"{counted(len(found.runs), 'run')} queued: {found.runs[0]} to {found.runs[-1]}"


def _list(found: backfilling.Backfill) -> None:
    for at in found.ticks:
        print(at.isoformat())


def _moment(option: str, given: str) -> datetime:
    try:
        return datetime.fromisoformat(given)
    except ValueError:
        hint = f"Write it as {backfilling.MOMENTS}"
        raise SettingsError(f"{option} is {given!r}, which is no time", hint=hint) from None
