"""``snk status``: show the status that the running daemon reports."""

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from http.client import HTTPException
from typing import Annotated
from urllib.error import HTTPError

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from snk.errors import ServiceUnfit
from snk.pair.core.report import Blocker, CanaryStatus, DaemonStatus, FlowStatus, Locker, SweepStatus
from snk.pair.settings import load_settings
from snk.pair.status.ask import check_url, daemon_url, fetch, parse

STATES = {"running": "green", "standby": "cyan", "waiting": "yellow", "paused": "red"}
LONG_SECONDS = 1.0
PLAIN_WIDTH = 200


def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the daemon's status as JSON.")] = False,
    url: Annotated[str | None, typer.Option(help="URL of the daemon, such as http://127.0.0.1:8089.")] = None,
) -> None:
    """Show the state of every flow, and which sessions hold rows back.

    Exit code 0 if rows flow, 1 if not, 2 if no daemon answers. Conflicts and rows set aside do not change it.
    """
    settings = load_settings()
    token = settings.http_token
    if url is None:
        url = daemon_url(settings.snk_http_host, settings.snk_http_port)
    else:
        check_url(url, token)
    try:
        answer = fetch(url.rstrip("/").removesuffix("/status"), token)
        told = parse(answer)
    except HTTPError as error:
        with error:
            hint = "Set SNK_HTTP_TOKEN to the daemon's token" if error.code == HTTPStatus.UNAUTHORIZED else ""
            raise ServiceUnfit(f"The daemon at {url} refuses to tell: {error.reason}", hint=hint) from error
    except (OSError, ValueError, HTTPException) as error:
        hint = "Start it with `snk run`, or set its address with --url"
        raise ServiceUnfit(f"No daemon answers at {url}: {getattr(error, 'reason', error)}", hint=hint) from error
    if as_json:
        print(answer.decode())
    else:
        # A file or a pipe has no width, and a truncated table is useless.
        terminal = Console(highlight=False)
        show(told, terminal if terminal.is_terminal else Console(highlight=False, width=PLAIN_WIDTH))
    raise typer.Exit(0 if told.healthy else 1)


def show(told: DaemonStatus, console: Console) -> None:
    """Print a status in human-readable form."""
    verdict = "[bold green]healthy[/]" if told.healthy else "[bold red]not healthy[/]"
    console.print(f"SNK {told.version} {verdict}, up {_span(told.uptime_seconds)}, as {escape(told.name)}")
    console.print(f"  {escape(told.first)}\n  {escape(told.second)}", soft_wrap=True)
    console.print(_flows(told.flows))
    dedup = told.dedup
    behind = "stored in Redis" if dedup.redis else f"[yellow]in memory only: {escape(dedup.error)}[/]"
    console.print(f"echoes awaited: {dedup.size:,}, {behind}", soft_wrap=True)
    for text in (
        *_troubles(told),
        *_locked_out(told.lockers),
        *_held_back(told.flows),
        *_wanted(told.flows),
        *_conflicts(told.flows),
        *_rejected(told.flows),
        *_leaders(told),
        *_sweeps(told.sweeps),
        *_canaries(told.canaries),
    ):
        console.print(text, soft_wrap=True)


def _flows(flows: Sequence[FlowStatus]) -> Table:
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


def _troubles(told: DaemonStatus) -> Iterator[str]:
    for trouble in told.troubles:
        yield f"[red]trouble:[/] {escape(trouble)}"
    for flow in told.flows:
        if flow.awaits:
            yield f"{escape(flow.name)} waits for {escape(', '.join(flow.awaits))}, to which its rows refer"
        if flow.notice:
            yield f"[yellow]{escape(flow.name)}:[/] {escape(flow.notice)}"
        if flow.error and flow.error_seconds is not None and flow.state == "running":
            ago = _span(flow.error_seconds)
            yield f"[dim]last error of {escape(flow.name)}, {ago} ago: {escape(flow.error)}[/]"


def _held_back(flows: Sequence[FlowStatus]) -> Iterator[str]:
    """Which transactions keep ids from being given up, once this has lasted a while."""
    for flow in flows:
        if flow.holes_seconds < LONG_SECONDS:
            continue
        since = _span(flow.holes_seconds)
        yield f"{escape(flow.name)}: {flow.hole_ids:,} ids may still come, since {since}; held open by"
        for blocker in flow.blockers:
            yield "  " + escape(_blocker(blocker))


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


def _wanted(flows: Sequence[FlowStatus]) -> Iterator[str]:
    for flow in flows:
        if flow.wanted:
            yield (f"[yellow]{flow.wanted:,} rows[/] that a sweep found are being brought over by {escape(flow.name)}")


def _conflicts(flows: Sequence[FlowStatus]) -> Iterator[str]:
    for flow in flows:
        if flow.conflicts:
            where = f"table snk.conflicts in {flow.destination}"
            words = "conflict" if flow.conflicts == 1 else "conflicts"
            yield f"[yellow]{flow.conflicts:,} {words}[/] of {escape(flow.name)}: both rows are recorded in {where}"


def _locked_out(lockers: Sequence[Locker]) -> Iterator[str]:
    for locker in lockers:
        waiting = _span(locker.waiting_seconds)
        yield f"[red]SNK waits in {locker.side}[/], since {waiting}, for a lock that is held by"
        yield "  " + escape(_session(locker))


def _sweeps(sweeps: Sequence[SweepStatus]) -> Iterator[str]:
    for sweep in sweeps:
        table = escape(sweep.table)
        if sweep.found:
            yield f"[yellow]{sweep.found:,} rows[/] of {table} were missing until a sweep found them"
        if sweep.error:
            yield f"[yellow]the last sweep of {table} failed:[/] {escape(sweep.error)}"
        if sweep.proven_seconds is not None:
            marks = f"up to {sweep.up_to_first:,} in first and {sweep.up_to_second:,} in second"
            aside = f", but for {sweep.set_aside:,} that are refused or in conflict" if sweep.set_aside else ""
            yield f"[dim]{table}: both sides proven equal {_span(sweep.proven_seconds)} ago, {marks}{aside}[/]"
        elif sweep.state != "off":
            yield f"[dim]{table}: not yet proven equal; a sweep is {sweep.state}[/]"


def _canaries(canaries: Sequence[CanaryStatus]) -> Iterator[str]:
    for canary in canaries:
        if canary.trip_seconds is not None:
            way, ago = f"{canary.source}→{canary.destination}", _span(canary.landed_seconds)
            yield f"[dim]canary {way}: {_span(canary.trip_seconds)}, {ago} ago[/]"


def _rejected(flows: Sequence[FlowStatus]) -> Iterator[str]:
    for flow in flows:
        if flow.rejected:
            yield (
                f"[yellow]{flow.rejected:,} rows[/] of {escape(flow.name)} were refused by {flow.destination}"
                " and are retried: `snk rejected` lists them"
            )


def _leaders(told: DaemonStatus) -> Iterator[str]:
    """Which other daemons work on which tables."""
    for table in dict.fromkeys(flow.table for flow in told.flows):
        leader = next(flow.leader for flow in told.flows if flow.table == table)
        if leader and leader != told.name:
            yield f"{escape(table)} is handled by {escape(leader)}; this daemon stands by"


def _span(seconds: float) -> str:
    """A duration in human-readable form."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:  # noqa: PLR2004 - two minutes
        return f"{seconds:.1f} s"
    if seconds < 7200:  # noqa: PLR2004 - two hours
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
