"""``snk pipeline status``: how far the pipeline is."""

import json
from collections.abc import Iterator

import typer

from snk.core.shown import plain
from snk.core.words import counted
from snk.options import Config, Json
from snk.pipeline.settings import load_settings
from snk.pipeline.setup import known_of, space_of
from snk.pipeline.status import Status, Watcher


def status(*, as_json: Json = False, config: Config = None) -> None:
    """Tell how far the pipeline is, from its files. Exit code 0 if all is well, 1 if something needs attention."""
    settings = load_settings(config)
    found = Watcher(space_of(settings), known_of(settings)).status()
    if as_json:
        print(json.dumps(found.as_json))
    else:
        for line in _lines(found):
            print(plain(line))
    raise typer.Exit(1 if found.troubles else 0)


def _lines(status: Status) -> Iterator[str]:
    yield f"{counted(status.done, 'frame')} done with {counted(status.records, 'record')}, {status.late:,} of them late"
    if status.loaded is not None:
        yield f"{status.loaded:,} of them found in the database, {status.accepted:,} accepted and not found yet"
    eta = "" if not status.eta_seconds else f", about {_span(status.eta_seconds)} left"
    yield f"{status.missing:,} missing, {status.pulled:,} pulled, {status.pushing:,} being pushed{eta}"
    rate = f"; {status.push.per_second:,.0f} records/s" if status.push.fresh else ""
    yield f"{status.quarantined:,} in quarantine; lag {_span(status.lag_seconds)}{rate}"
    if status.again:
        yield f"{counted(status.again, 'frame')} will be pulled and pushed again"
    if status.ambiguous:
        yield f"{counted(status.ambiguous, 'request')} had no answer, and was sent again"
    if status.stored:
        yield f"{counted(status.stored, 'record')} the receiving server had from before"
    quota = f" of {_size(status.quota_bytes)}" if status.quota_bytes else ""
    yield f"{_size(status.disk_bytes)}{quota} on disk"
    for trouble in status.troubles:
        yield f"! {trouble}"


def _span(seconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:  # noqa: PLR2004 - of the next unit
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
