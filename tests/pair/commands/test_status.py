"""`snk status`: what it shows of few tables and of many, of one table, and as JSON."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from snk.http.door import Door
from snk.http.pages import application
from snk.http.service import Address, listening, serve
from snk.pair.commands.run import summary
from snk.pair.commands.status_view import show
from snk.pair.core.report import DaemonStatus, FlowStatus
from snk.pair.status.pages import pages
from tests.kit.daemons import run_snk
from tests.kit.told import blocker, both, daemon, flow, sweep

WAYS = ("first→second", "second→first")
Asking = Callable[..., AbstractAsyncContextManager[Callable[..., Any]]]


def shown(status: DaemonStatus, *, whole: bool = False) -> list[str]:
    """The lines that are printed."""
    out = StringIO()
    show(status, Console(file=out, highlight=False, width=200), whole=whole)
    return out.getvalue().splitlines()


def tables(count: int, **changes: Any) -> tuple[FlowStatus, ...]:
    """Both flows of so many tables, each with these changes in the first."""
    return tuple(each for n in range(count) for each in both(f"t{n:03}", **changes))


def rows(lines: Sequence[str]) -> list[str]:
    """The flows in the table of flows: the lines between its heading and what follows."""
    start = next(at for at, line in enumerate(lines) if line.startswith("flow ")) + 1
    end = next(at for at, line in enumerate(lines) if line.startswith(("...", "echoes awaited")))
    return [line.split("  ")[0].strip() for line in lines[start:end]]


def test_five_tables_are_shown_one_by_one_and_without_totals() -> None:
    sweeps = tuple(sweep(f"t{n:03}") for n in range(5))
    lines = shown(daemon(*tables(5), sweeps=sweeps))
    assert len(rows(lines)) == 10
    assert not [line for line in lines if "tables" in line or "more" in line]
    assert sum("both sides proven equal 60.0 s ago, up to 100" in line for line in lines) == 5


def test_of_many_flows_the_ten_worst_are_shown_after_totals() -> None:
    flows = (*tables(150), *both("ill", state="paused", error="no right"), *both("late", lag_seconds=5.0))
    lines = shown(daemon(*flows, sweeps=(sweep("t000", proven_seconds=90.0), sweep("late"), sweep("ill"))))
    text = "\n".join(lines)
    assert "152 tables, 304 flows: 303 running, 1 paused" in text
    assert "0 rows/s, 3,040 delivered, 0 waiting, worst lag 5.0 s (late first→second)" in text
    assert "holes 0, conflicts 0, rejected 0" in text
    assert "both sides proven equal for 3 of 3 tables, the oldest proof 90.0 s ago (t000)" in text
    assert rows(lines)[:3] == ["ill first→second", "late first→second", "t000 first→second"]
    assert len(rows(lines)) == 10
    assert "... and 294 flows that are no worse: `snk status --all` shows all" in text
    assert "trouble: ill first→second is paused: no right" in text


def test_all_flows_are_shown_in_their_order_when_asked_for() -> None:
    flows = (*tables(20), *both("ill", state="paused"))
    lines = shown(daemon(*flows, sweeps=tuple(sweep(f"t{n:03}") for n in range(20))), whole=True)
    assert rows(lines) == [each.name for each in flows]
    assert not [line for line in lines if "more" in line]
    assert sum("up to 100 in first" in line for line in lines) == 20


KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "trouble": ({"state": "paused"}, "trouble:"),
    "awaits": ({"awaits": ("other",)}, "to which its rows refer"),
    "notice": ({"notice": "triggers"}, ": triggers"),
    "error": ({"error": "gone", "error_seconds": 1.0}, "last error of"),
    "wanted": ({"wanted": 1}, "being brought over"),
    "conflicts": ({"conflicts": 1}, "both rows are recorded"),
    "rejected": ({"rejected": 1}, "`snk rejected` lists them"),
    "leader": ({"leader": "host:2"}, "this daemon stands by"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_texts_about_many_tables_are_ten_lines_of_a_kind(kind: str) -> None:
    changes, text = KINDS[kind]
    status = daemon(*tables(25, **changes))
    lines = shown(status)
    assert sum(text in line for line in lines) == 10
    assert lines.count("... and 15 more") == 1
    whole = shown(status, whole=True)
    assert sum(text in line for line in whole) == 25
    assert "... and 15 more" not in whole


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"found": 3}, "until a sweep found them"),
        ({"error": "gone"}, "failed: gone"),
        ({"proven_seconds": None}, "not yet proven equal"),
        ({"set_aside": 2}, "but for 2 that are refused"),
    ],
)
def test_sweeps_of_many_tables_are_ten_lines_of_a_kind(changes: dict[str, Any], text: str) -> None:
    sweeps = tuple(sweep(f"t{n:03}", **changes) for n in range(25))
    lines = shown(daemon(*tables(25), sweeps=sweeps))
    assert sum(text in line for line in lines) == 10
    assert lines.count("... and 15 more") == 1


def test_tables_that_are_proven_equal_are_one_line_where_there_are_many() -> None:
    lines = shown(daemon(*tables(25), sweeps=tuple(sweep(f"t{n:03}") for n in range(25))))
    assert [line for line in lines if "proven equal" in line] == [
        "both sides proven equal for 25 of 25 tables, the oldest proof 60.0 s ago (t000)"
    ]


def test_who_holds_ids_back_is_named_within_ten_lines() -> None:
    held: dict[str, Any] = {"hole_ids": 5, "holes_seconds": 9.0, "blockers": (blocker(7), blocker(8))}
    lines = shown(daemon(*tables(25, **held)))
    assert sum("held open by" in line for line in lines) == 3, "three lines each"
    assert sum("pg_terminate_backend(7)" in line for line in lines) == 3
    assert "... and 22 more" in lines
    crowd = shown(daemon(flow(**{**held, "blockers": tuple(map(blocker, range(30)))})))
    assert sum("pg_terminate_backend" in line for line in crowd) == 9
    assert "  ... and 21 more" in crowd


def test_the_service_manager_is_told_of_three_troubles() -> None:
    text = summary(daemon(*tables(300, state="waiting")))
    assert text == "; ".join(f"t00{n} first→second is waiting" for n in range(3)) + "; and 297 more"
    assert "more" not in summary(daemon(*tables(3, state="waiting")))
    assert summary(daemon(*tables(2, lag_seconds=0.2, rows_per_second=3.0))) == "4 flows running, 6 rows/s, lag 200 ms"


def test_a_name_with_brackets_is_shown_as_it_is() -> None:
    flows = (*tables(10), *both("[red]x", state="paused", lag_seconds=9.0))
    assert any("worst lag 9.0 s ([red]x first→second)" in line for line in shown(daemon(*flows)))


@pytest.fixture
def asking() -> Asking:
    """`snk status` with some words, at a service that shows one status."""

    @asynccontextmanager
    async def served(status: DaemonStatus) -> AsyncIterator[Callable[..., Any]]:
        stop = asyncio.Event()
        with listening(Address("127.0.0.1", 0), guarded=False) as bound:
            port = bound.getsockname()[1]

            async def ask(*words: str) -> Any:
                return await asyncio.to_thread(run_snk, {"SNK_HTTP_PORT": str(port)}, "status", *words)

            async with asyncio.TaskGroup() as group:
                group.create_task(
                    serve(application(lambda: status.troubles, lambda: status, pages()), bound, stop, Door(None))
                )
                try:
                    yield ask
                finally:
                    stop.set()

    return served


async def test_tables_by_their_names_and_no_others(asking: Asking) -> None:
    flows = (*tables(20), *both("sales.lines", state="paused"))
    status = daemon(*flows, sweeps=tuple(sweep(f"t{n:03}") for n in range(20)))
    async with asking(status) as ask:
        one = await ask("--table", "t007", "--table", "t011")
        ill = await ask("--table", '"sales".lines')
        some = await ask(*(word for n in range(7) for word in ("--table", f"t{n:03}")))
        brief, whole = await ask(), await ask("--all")
    assert one.returncode == 0, one.stderr
    assert "healthy" in one.stdout
    assert rows(one.stdout.splitlines()) == [f"t{n} {way}" for n in ("007", "011") for way in WAYS]
    assert "t007: both sides proven equal" in one.stdout
    assert [len(rows(each.stdout.splitlines())) for each in (some, brief, whole)] == [14, 10, 42]
    assert (ill.returncode, whole.returncode) == (1, 1), "the paused table counts in both"
    assert "trouble: sales.lines first→second is paused" in ill.stdout


async def test_a_table_that_the_daemon_does_not_have_is_refused_with_near_names(asking: Asking) -> None:
    async with asking(daemon(*both("orders"), *both("order_lines"), *both("users"))) as ask:
        near, far, malformed = await ask("--table", "order"), await ask("--table", "x"), await ask("--table", '"x')
    assert near.returncode == far.returncode == malformed.returncode == 2
    assert "The daemon has no table order. The nearest ones are orders, order_lines" in near.stderr
    assert "The daemon has no table x. The nearest one is " in far.stderr
    assert "--table is '\"x'" in malformed.stderr
    assert near.stdout == ""


async def test_json_is_whole_or_of_some_tables(asking: Asking) -> None:
    status = daemon(*tables(30), *both("ill", state="paused"), sweeps=(sweep("t000"), sweep("ill")))
    status = replace(status, troubles=(*status.troubles, "no canary"))
    async with asking(status) as ask:
        whole = json.loads((await ask("--json")).stdout)
        some = json.loads((await ask("--json", "--table", "t000")).stdout)
    assert len(whole["flows"]) == 62
    assert whole["troubles"] == ["ill first→second is paused", "no canary"]
    assert [each["name"] for each in some["flows"]] == [f"t000 {way}" for way in WAYS]
    assert [each["table"] for each in some["sweeps"]] == ["t000"]
    assert (some["healthy"], some["troubles"]) == (False, ["no canary"])
    assert some["dedup"] == whole["dedup"]
    assert some.keys() == whole.keys()
