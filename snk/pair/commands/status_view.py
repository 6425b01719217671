"""What `snk status` prints: a table of flows, and below it what a person should know about them.

With many flows, totals come first and only the worst flows are shown; each kind of text has a limited number of lines.
"""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from snk.core.words import counted
from snk.pair.core.report import Blocker, CanaryStatus, DaemonStatus, FlowStatus, Locker, SweepStatus
from snk.pair.core.summary import MOST_FLOWS, Totals, totals, worst_first

STATES = {"running": "green", "standby": "cyan", "waiting": "yellow", "paused": "red"}
LONG_SECONDS = 1.0
MOST_LINES = 10

Entry = Sequence[str]
"""The lines of one text; those after the first are indented."""


def show(told: DaemonStatus, console: Console, *, whole: bool = False) -> None:
    """Print a status in human-readable form.

    Args:
        told: the status.
        console: where to.
        whole: show every flow and every line, however many there are.
    """
    verdict = "[bold green]healthy[/]" if told.healthy else "[bold red]not healthy[/]"
    console.print(f"SNK {told.version} {verdict}, up {_span(told.uptime_seconds)}, as {escape(told.name)}")
    console.print(f"  {escape(told.first)}\n  {escape(told.second)}", soft_wrap=True)
    many = len(told.flows) > MOST_FLOWS
    brief = many and not whole
    flows = worst_first(told.flows) if brief else told.flows
    if many:
        for line in _totals(totals(told)):
            console.print(line, soft_wrap=True)
        console.print()
    console.print(_table(flows[:MOST_FLOWS] if brief else flows))
    if brief:
        rest = counted(len(flows) - MOST_FLOWS, "flow")
        console.print(
            f"... and {rest} that are no worse: `snk status --all` shows all, `snk status --table NAME` one table",
            soft_wrap=True,
        )
    dedup = told.dedup
    behind = "stored in Redis" if dedup.redis else f"[yellow]in memory only: {escape(dedup.error)}[/]"
    console.print(f"echoes awaited: {dedup.size:,}, {behind}", soft_wrap=True)
    for kind in _kinds(told, flows, brief=brief):
        for line in _lines(list(kind), whole=whole):
            console.print(line, soft_wrap=True)


def _kinds(told: DaemonStatus, flows: Sequence[FlowStatus], *, brief: bool) -> Iterator[Iterable[Entry]]:
    yield ([f"[red]trouble:[/] {escape(trouble)}"] for trouble in told.troubles)
    yield ([f"[yellow]left out:[/] {escape(f'{table}: {why}')}"] for table, why in told.left_out.items())
    yield from (_awaiting(flows), _notices(flows), _errors(flows))
    yield _locked_out(told.lockers)
    yield from (_held_back(flows), _wanted(flows), _conflicts(flows), _rejected(flows))
    yield _leaders(told)
    yield from (_found(told.sweeps), _failed(told.sweeps))
    # Where totals count the tables that are proven equal, only what is not so is worth a line.
    yield _proven([sweep for sweep in told.sweeps if sweep.set_aside or not brief])
    yield _unproven(told.sweeps)
    yield _canaries(told.canaries)


def _lines(entries: Sequence[Entry], *, whole: bool) -> Iterator[str]:
    """The lines of all entries of a kind, or of as many as fit; the first one always does, in part."""
    used = 0
    for number, entry in enumerate(entries):
        if whole:
            yield from entry
            continue
        if number and used + len(entry) > MOST_LINES:
            yield f"[dim]... and {len(entries) - number:,} more[/]"
            return
        yield from entry[:MOST_LINES]
        if len(entry) > MOST_LINES:
            yield f"[dim]  ... and {len(entry) - MOST_LINES:,} more[/]"
        used += len(entry)


def _totals(sums: Totals) -> Iterator[str]:
    states = ", ".join(f"{count:,} [{STATES.get(state, 'dim')}]{state}[/]" for state, count in sums.states)
    yield f"{counted(sums.tables, 'table')}, {counted(sums.flows, 'flow')}: {states}"
    slowest = sums.slowest
    lag = f", worst lag {_span(slowest.lag_seconds)} ({escape(slowest.name)})" if slowest else ""
    yield f"{sums.rows_per_second:,.0f} rows/s, {sums.delivered:,} delivered, {sums.lag_rows:,} waiting{lag}"
    holes = f"{sums.hole_ids:,} in {counted(sums.holed, 'flow')}" if sums.holed else "0"
    yield f"holes {holes}, conflicts {sums.conflicts:,}, rejected {sums.rejected:,}"
    if sums.swept:
        proof = ""
        if sums.oldest and sums.oldest.proven_seconds is not None:
            proof = f", the oldest proof {_span(sums.oldest.proven_seconds)} ago ({escape(sums.oldest.table)})"
        yield f"both sides proven equal for {sums.proven:,} of {counted(sums.swept, 'table')}{proof}"


def _table(flows: Sequence[FlowStatus]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for heading in (
        "flow",
        "state",
        "rows/s",
        "lag",
        "waiting",
        "delivered",
        "mark",
        "safe",
        "holes",
        "conflicts",
        "rejected",
    ):
        table.add_column(heading, justify="left" if heading in ("flow", "state") else "right")
    for flow in flows:
        table.add_row(
            escape(flow.name),
            f"[{STATES.get(flow.state, 'dim')}]{flow.state}[/]",
            f"{flow.rows_per_second:,.0f}",
            _span(flow.lag_seconds),
            f"{flow.lag_rows:,}",
            f"{flow.delivered:,}",
            f"{flow.high:,}",
            f"{flow.safe:,}",
            f"{flow.hole_ids:,}",
            f"{flow.conflicts:,}",
            f"{flow.rejected:,}",
        )
    return table


def _awaiting(flows: Sequence[FlowStatus]) -> Iterator[Entry]:
    for flow in flows:
        if flow.awaits:
            yield [f"{escape(flow.name)} waits for {escape(', '.join(flow.awaits))}, to which its rows refer"]


def _notices(flows: Sequence[FlowStatus]) -> Iterator[Entry]:
    for flow in flows:
        if flow.notice:
            yield [f"[yellow]{escape(flow.name)}:[/] {escape(flow.notice)}"]


def _errors(flows: Sequence[FlowStatus]) -> Iterator[Entry]:
    for flow in flows:
        if flow.error and flow.error_seconds is not None and flow.state == "running":
            ago = _span(flow.error_seconds)
            yield [f"[dim]last error of {escape(flow.name)}, {ago} ago: {escape(flow.error)}[/]"]


def _held_back(flows: Sequence[FlowStatus]) -> Iterator[Entry]:
    """Which transactions keep ids from being given up, once this has lasted a while."""
    for flow in flows:
        if flow.holes_seconds < LONG_SECONDS:
            continue
        since = _span(flow.holes_seconds)
        yield [
            f"{escape(flow.name)}: {flow.hole_ids:,} ids may still come, since {since}; held open by",
            *("  " + escape(_blocker(blocker)) for blocker in flow.blockers),
        ]


def _blocker(blocker: Blocker) -> str:
    if blocker.prepared:
        age = _age(blocker.age_seconds)
        return f"prepared transaction {blocker.prepared!r}{age}: COMMIT PREPARED or ROLLBACK PREPARED ends it"
    return _session(blocker)


def _session(session: Blocker | Locker) -> str:
    who = f"pid {session.pid}, user {session.user}, application {session.application!r}"
    doing = f"{session.state or 'state unknown'}{_age(session.age_seconds)}"
    return f"{who}, {doing}: ends with its commit, or pg_terminate_backend({session.pid})"


def _age(seconds: float | None) -> str:
    return "" if seconds is None else f", open for {_span(seconds)}"


def _wanted(flows: Sequence[FlowStatus]) -> Iterator[Entry]:
    for flow in flows:
        if flow.wanted:
            yield [f"[yellow]{flow.wanted:,} rows[/] that a sweep found are being brought over by {escape(flow.name)}"]


def _conflicts(flows: Sequence[FlowStatus]) -> Iterator[Entry]:
    for flow in flows:
        if flow.conflicts:
            where = f"table snk.conflicts in {flow.destination}"
            words = "conflict" if flow.conflicts == 1 else "conflicts"
            yield [f"[yellow]{flow.conflicts:,} {words}[/] of {escape(flow.name)}: both rows are recorded in {where}"]


def _locked_out(lockers: Sequence[Locker]) -> Iterator[Entry]:
    for locker in lockers:
        waiting = _span(locker.waiting_seconds)
        yield [
            f"[red]SNK waits in {locker.side}[/], since {waiting}, for a lock that is held by",
            "  " + escape(_session(locker)),
        ]


def _found(sweeps: Sequence[SweepStatus]) -> Iterator[Entry]:
    for sweep in sweeps:
        if sweep.found:
            yield [f"[yellow]{sweep.found:,} rows[/] of {escape(sweep.table)} were missing until a sweep found them"]


def _failed(sweeps: Sequence[SweepStatus]) -> Iterator[Entry]:
    for sweep in sweeps:
        if sweep.error:
            yield [f"[yellow]the last sweep of {escape(sweep.table)} failed:[/] {escape(sweep.error)}"]


def _proven(sweeps: Sequence[SweepStatus]) -> Iterator[Entry]:
    for sweep in sweeps:
        if sweep.proven_seconds is not None:
            marks = f"up to {sweep.up_to_first:,} in first and {sweep.up_to_second:,} in second"
            aside = f", but for {sweep.set_aside:,} that are refused or in conflict" if sweep.set_aside else ""
            equal = f"both sides proven equal {_span(sweep.proven_seconds)} ago"
            yield [f"[dim]{escape(sweep.table)}: {equal}, {marks}{aside}[/]"]


def _unproven(sweeps: Sequence[SweepStatus]) -> Iterator[Entry]:
    for sweep in sweeps:
        if sweep.proven_seconds is None and sweep.state != "off":
            yield [f"[dim]{escape(sweep.table)}: not yet proven equal; a sweep is {sweep.state}[/]"]


def _canaries(canaries: Sequence[CanaryStatus]) -> Iterator[Entry]:
    for canary in canaries:
        if canary.trip_seconds is not None:
            way, ago = f"{canary.source}→{canary.destination}", _span(canary.landed_seconds)
            yield [f"[dim]canary {way}: {_span(canary.trip_seconds)}, {ago} ago[/]"]


def _rejected(flows: Sequence[FlowStatus]) -> Iterator[Entry]:
    for flow in flows:
        if flow.rejected:
            retried = "and are retried: `snk rejected` lists them"
            rows = f"[yellow]{flow.rejected:,} rows[/] of {escape(flow.name)}"
            yield [f"{rows} were refused by {flow.destination} {retried}"]


def _leaders(told: DaemonStatus) -> Iterator[Entry]:
    """Which other daemons work on which tables."""
    leaders: dict[str, str] = {}
    for flow in told.flows:
        leaders.setdefault(flow.table, flow.leader)
    for table, leader in leaders.items():
        if leader and leader != told.name:
            yield [f"{escape(table)} is handled by {escape(leader)}; this daemon stands by"]


def _span(seconds: float) -> str:
    """A duration in human-readable form."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:  # noqa: PLR2004 - two minutes
        return f"{seconds:.1f} s"
    if seconds < 7200:  # noqa: PLR2004 - two hours
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
