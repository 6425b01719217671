"""What the pages of the pair show of a status."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from snk.pair.core.report import Blocker, CanaryStatus, DaemonStatus, FlowState, FlowStatus, SweepStatus
from snk.pair.core.summary import worst_first

MOST_TABLES = 10
MOST_HOLES = 10
MOST_LEFT_OUT = 10
LONG_SECONDS = 1.0
LOOKS = {"running": "good", "standby": "good", "starting": "warn", "waiting": "warn", "paused": "bad", "stopped": "bad"}
"""The class of the style sheet that colours a state."""


@dataclass(frozen=True, slots=True)
class Way:
    """One direction, all tables together.

    Attributes:
        states: of its flows in words, such as ``56 running, 2 paused``.
        look: the class that colours them.
        waiting: rows that wait, at most.
    """

    source: str
    destination: str
    states: str
    look: str
    rows_per_second: float
    lag_seconds: float
    waiting: int
    canary: CanaryStatus | None


@dataclass(frozen=True, slots=True)
class TableRow:
    """A table with both its flows, the worse one first."""

    table: str
    flows: Sequence[FlowStatus]
    sweep: SweepStatus | None

    @property
    def worst(self) -> FlowStatus:
        """The flow at which a person should look first."""
        return self.flows[0]

    @property
    def look(self) -> str:
        """The class that colours its state."""
        return "bad" if self.worst.trouble else LOOKS[self.worst.state]

    def total(self, name: str) -> float:
        """A figure of both flows together."""
        return float(sum(getattr(flow, name) for flow in self.flows))

    @property
    def lag_seconds(self) -> float:
        """The greater lag."""
        return max(flow.lag_seconds for flow in self.flows)


def place(address: str) -> str:
    """Where a database is, of an address such as ``first (host:5432/name)``."""
    return address.partition(" (")[2].removesuffix(")") or address


def ways(status: DaemonStatus) -> list[Way]:
    """Both directions."""
    found: list[Way] = []
    for way in dict.fromkeys((flow.source, flow.destination) for flow in status.flows):
        flows = [flow for flow in status.flows if (flow.source, flow.destination) == way]
        canary = next((each for each in status.canaries if (each.source, each.destination) == way), None)
        found.append(
            Way(
                *way,
                states=_in_words(counts := Counter(flow.state for flow in flows)),
                look=_look_of(counts),
                rows_per_second=sum(flow.rows_per_second for flow in flows),
                lag_seconds=max(flow.lag_seconds for flow in flows),
                waiting=sum(flow.lag_rows for flow in flows),
                canary=canary,
            )
        )
    return found


def _in_words(counts: Counter[FlowState]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{count:,} {state}" for state, count in counts.most_common())


def _look_of(counts: Counter[FlowState]) -> str:
    """The colour of many flows: bad only if all of them are."""
    looks = {LOOKS[state] for state in counts}
    return next(iter(looks)) if len(looks) == 1 else "warn"


def tables(status: DaemonStatus) -> list[TableRow]:
    """The tables, the one at which a person should look first before the others."""
    sweeps = {sweep.table: sweep for sweep in status.sweeps}
    flows: dict[str, list[FlowStatus]] = {}
    for flow in worst_first(status.flows):
        flows.setdefault(flow.table, []).append(flow)
    return [TableRow(table, both, sweeps.get(table)) for table, both in flows.items()]


def held_back(status: DaemonStatus) -> list[FlowStatus]:
    """The flows whose holes have been open for a while."""
    held = [flow for flow in status.flows if flow.holes_seconds >= LONG_SECONDS]
    return sorted(held, key=lambda flow: -flow.holes_seconds)[:MOST_HOLES]


def blocker(held_by: Blocker) -> str:
    """Who holds holes open, and what ends it."""
    if held_by.prepared:
        return f"prepared transaction {held_by.prepared!r}: COMMIT PREPARED or ROLLBACK PREPARED ends it"
    who = f"pid {held_by.pid}, user {held_by.user}, application {held_by.application!r}"
    return f"{who}, {held_by.state or 'state unknown'}: its commit ends it, or pg_terminate_backend({held_by.pid})"


def proof(status: DaemonStatus) -> dict[str, Any]:
    """How many tables are proven equal, and since when."""
    ages = [sweep.proven_seconds for sweep in status.sweeps if sweep.proven_seconds is not None]
    swept = [sweep for sweep in status.sweeps if sweep.state != "off" or sweep.proven_seconds is not None]
    aside = sum(sweep.set_aside for sweep in swept)
    return {"proven": len(ages), "of": len(swept), "oldest": max(ages, default=None), "aside": aside}


def left_out(status: DaemonStatus) -> list[tuple[str, str]]:
    """The first few tables that a pattern matches and that are not synced, with the reason."""
    return list(status.left_out.items())[:MOST_LEFT_OUT]
