"""What a run did when, and how long runs took, as drawings. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from markupsafe import Markup

from snk.batch.platform.portal.viewing import LOOKS, epoch
from snk.batch.platform.rows import Row
from snk.batch.state import LIVE, State
from snk.core.moments import lasted
from snk.core.words import counted
from snk.http.portal.spans import Bar, Lane, Span, bars, timeline

MOST_LANES = 20
"""Of calls, of files and of tasks each."""


def run_timeline(run: Row, now: datetime) -> Markup:
    """A run with the calls of its consumers, its files and its tasks."""
    lanes = [Lane(f"run {run['id']}", list(_of_run(run))), *_of_calls(run), *_of_files(run), *_of_tasks(run)]
    return Markup(timeline(f"Timeline of run {run['id']}", lanes, now=now.timestamp()))  # noqa: S704 - made there


def not_drawn(run: Row) -> list[str]:
    """What the timeline leaves out, in words."""
    instances = {each["consumer"] for each in run["attempts"]}
    counts = {"instance": len(instances), "file": len(run["files"]), "task": len(run["tasks"])}
    told = [f"{counted(count - MOST_LANES, noun)} more" for noun, count in counts.items() if count > MOST_LANES]
    earlier = run["calls"] - len(run["attempts"])
    return [*told, counted(earlier, "earlier call")] if earlier > 0 else told


def _of_run(run: Row) -> Iterator[Span]:
    """How long a run waited, and how long it ran."""
    begin, started, ended = (
        epoch(run[name]) if run[name] else None for name in ("created_at", "started_at", "ended_at")
    )
    if begin is None:
        return
    until = started or ended
    yield Span(begin, until, "soft", f"waited {lasted(until - begin)}" if until else "waits")
    if started is not None:
        took = f" in {lasted(ended - started)}" if ended else ""
        yield Span(started, ended, LOOKS[run["state"]], f"{run['state']}{took}")


def _of_calls(run: Row) -> list[Lane]:
    """The calls of each instance."""
    spans: dict[str, list[Span]] = {}
    for each in run["attempts"]:
        begin, end = epoch(each["began_at"]), epoch(each["ended_at"])
        told = f"call {each['fence']} by {each['node']}, {lasted(end - begin)}: {each['outcome']}"
        look = LOOKS.get(each["outcome"], "bad")
        spans.setdefault(each["consumer"], []).append(Span(begin, end, look, told))
    return [Lane(f"calls of {consumer}", each) for consumer, each in list(spans.items())[:MOST_LANES]]


def _of_files(run: Row) -> list[Lane]:
    """The files, from the beginning of the run until the consumer said that they ended."""
    begin = run["started_at"] or run["created_at"]
    lanes: list[Lane] = []
    for each in run["files"][:MOST_LANES]:
        ended = None if each["state"] in LIVE else max(epoch(begin), epoch(each["reported_at"]))
        counts = ", ".join(f"{name} {each[name]:,}" for name in ("expected", "applied") if each[name] is not None)
        told = f"{each['state']}: {counts}" if counts else str(each["state"])
        lanes.append(Lane(f"file {each['name']}", [Span(epoch(begin), ended, LOOKS[each["state"]], told)]))
    return lanes


def _of_tasks(run: Row) -> list[Lane]:
    """The runs of a group's tasks."""
    return [Lane(f"{each['task']} (run {each['id']})", list(_of_run(each))) for each in run["tasks"][:MOST_LANES]]


def durations(runs: Sequence[Row]) -> Markup:
    """How long runs took that are given newest first; the oldest is on the left."""
    drawn = [
        Bar(
            run["seconds"],
            "bad" if run["state"] in (State.FAILED, State.RECON_FAILED) else LOOKS[run["state"]],
            f"run {run['id']}, {run['state']}: {lasted(run['seconds'])}",
        )
        for run in reversed(runs)
        if run["seconds"] is not None
    ]
    return Markup(bars("How long the last runs took", drawn) if drawn else "")  # noqa: S704 - made there
