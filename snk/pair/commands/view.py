"""What `snk up` shows while it runs: a snapshot of the pair, as a panel or as a line."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from snk.pair.core.report import DaemonStatus, FlowStatus
from snk.pair.core.summary import MOST_FLOWS, totals, worst_first


@dataclass(frozen=True, slots=True)
class PairSnapshot:
    """The pair at one point in time.

    Attributes:
        seconds: since the load began.
        rows: on each side; None while unknown.
        status: the daemon's answer to ``GET /status``, or None if it did not answer.
    """

    seconds: float
    rows: tuple[int | None, int | None]
    status: DaemonStatus | None

    @property
    def flows(self) -> Sequence[FlowStatus]:
        """The two flows of the first table, or the flows of all tables."""
        return self.status.flows if self.status else ()

    @property
    def held(self) -> int:
        """How many ids are in holes."""
        return sum(flow.hole_ids for flow in self.flows)

    @property
    def dedup(self) -> int:
        """How many echoes are expected."""
        return self.status.dedup.size if self.status else 0


def line(snapshot: PairSnapshot) -> str:
    """The snapshot as one plain line."""
    parts = [f"{snapshot.seconds:6.1f} s", f"first {_number(snapshot.rows[0])}", f"second {_number(snapshot.rows[1])}"]
    if snapshot.status and len(snapshot.flows) > MOST_FLOWS:
        sums = totals(snapshot.status)
        lag = sums.slowest.lag_seconds if sums.slowest else 0.0
        parts.append(f"{sums.flows:,} flows {sums.rows_per_second:,.0f}/s, at most {lag * 1000:.0f} ms")
    else:
        parts += [
            f"{flow.source}→{flow.destination} {flow.rows_per_second:,.0f}/s, {flow.lag_seconds * 1000:.0f} ms"
            for flow in snapshot.flows
        ]
    parts += [f"holes {snapshot.held}", f"dedup {snapshot.dedup}"]
    return " | ".join(parts) if snapshot.status else f"{parts[0]} | the daemon does not answer"


def panel(snapshot: PairSnapshot, title: str) -> Panel:
    """The snapshot as a panel for a terminal: of many flows, the worst ones."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "rows/s", "rows", "lag", "holes", "echoes", "state"):
        table.add_column(heading, justify="left" if heading in ("", "state") else "right")
    many = len(snapshot.flows) > MOST_FLOWS
    for flow in worst_first(snapshot.flows)[:MOST_FLOWS] if many else snapshot.flows:
        table.add_row(
            f"[bold]{flow.source} → {flow.destination}[/]  [dim]{escape(flow.table)}[/]",
            f"{flow.rows_per_second:,.0f}",
            f"{flow.delivered:,}",
            f"{flow.lag_seconds * 1000:,.0f} ms",
            f"{flow.hole_ids:,}",
            f"{flow.echoes:,}",
            flow.state if flow.state == "running" else f"[yellow]{flow.state}[/]",
        )
    if many:
        table.add_row(f"[dim]... and {len(snapshot.flows) - MOST_FLOWS:,} flows that are no worse[/]")
    first, second = snapshot.rows
    table.add_row()
    table.add_row("rows on each side", "", f"{_number(first)}", "", "", f"{_number(second)}", "")
    return Panel(
        table,
        title=title,
        title_align="left",
        subtitle=f"{snapshot.seconds:.0f} s · {snapshot.dedup:,} echoes awaited · Ctrl-C stops the load, then verifies",
        subtitle_align="left",
    )


def _number(rows: int | None) -> str:
    return "?" if rows is None else f"{rows:,}"
