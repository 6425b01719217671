"""Statuses as a daemon may report them, made up: all is well but for what a test says."""

from typing import Any

from snk.pair.core.report import Blocker, DaemonStatus, DedupStatus, FlowStatus, SweepStatus


def flow(table: str = "records", source: str = "first", **changes: Any) -> FlowStatus:
    """A flow that runs and has nothing to do."""
    values: dict[str, Any] = {
        "state": "running",
        "high": 100,
        "safe": 90,
        "version": 3,
        "hole_ids": 0,
        "holes": 0,
        "holes_seconds": 0.0,
        "blockers": (),
        "lag_seconds": 0.004,
        "lag_rows": 0,
        "delivered": 10,
        "echoes": 20,
        "present": 0,
        "conflicts": 0,
        "rejected": 0,
        "wanted": 0,
        "late": 0,
        "leader": "",
        "rows_per_second": 0.0,
        "progress_seconds": 0.1,
        "awaits": (),
        "error": "",
        "error_seconds": None,
        "notice": "",
    }
    destination = "second" if source == "first" else "first"
    return FlowStatus(table=table, source=source, destination=destination, **{**values, **changes})


def both(table: str, **changes: Any) -> tuple[FlowStatus, FlowStatus]:
    """Both flows of a table; the changes are those of the first."""
    return flow(table, **changes), flow(table, "second")


def sweep(table: str = "records", **changes: Any) -> SweepStatus:
    """A table that was proven equal a minute ago."""
    values: dict[str, Any] = {
        "state": "waiting",
        "proven_seconds": 60.0,
        "up_to_first": 100,
        "up_to_second": 100,
        "rows": 100,
        "found": 0,
        "set_aside": 0,
        "seconds": 0.5,
        "error": "",
    }
    return SweepStatus(table=table, **{**values, **changes})


def daemon(*flows: FlowStatus, sweeps: tuple[SweepStatus, ...] = (), **changes: Any) -> DaemonStatus:
    """A daemon with these flows; it is in trouble if they are."""
    values: dict[str, Any] = {
        "version": "0",
        "name": "host:1",
        "uptime_seconds": 100.0,
        "first": "first (a)",
        "second": "second (b)",
        "canaries": (),
        "lockers": (),
        "dedup": DedupStatus(7, redis=True, error=""),
        "troubles": tuple(each.trouble for each in flows if each.trouble),
    }
    return DaemonStatus(flows=flows, sweeps=sweeps, **{**values, **changes})


def blocker(pid: int) -> Blocker:
    """A session that keeps a transaction open."""
    return Blocker(f"3/{pid}", pid, "app", "import", "idle in transaction", 12.0, None)
