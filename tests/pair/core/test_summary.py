"""Sums over many tables, and which flows come first."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snk.pair.core.report import FlowStatus
from snk.pair.core.summary import only, totals, worst_first
from tests.kit.told import both, daemon, flow, sweep

WORSE = [
    flow("stands", progress_seconds=31.0),
    flow("paused", state="paused"),
    flow("parent", state="waiting", awaits=("other",)),
    flow("lags", lag_seconds=9.0),
    flow("lags_less", lag_seconds=1.5, lag_rows=99),
    flow("waits", lag_rows=5, lag_seconds=0.01),
    flow("holes", hole_ids=4),
    flow("conflicts", conflicts=3),
    flow("rejected", rejected=2),
    flow("wanted", wanted=1),
    flow("busy", rows_per_second=10.0),
    flow("well"),
]
"""Each is worse off than the next, whatever else the next has; the first two are in trouble, one like the other."""


def names(flows: list[FlowStatus]) -> list[str]:
    return [each.table for each in flows]


@given(st.permutations(WORSE))
def test_flows_are_ordered_by_what_is_wrong_with_them(shuffled: list[FlowStatus]) -> None:
    assert names(worst_first(shuffled)) == ["paused", "stands", *names(WORSE[2:])]


def test_one_that_does_not_flow_comes_before_the_greatest_lag() -> None:
    lagging = flow("lags", lag_seconds=9e9, lag_rows=10**9, conflicts=10**9)
    assert names(worst_first([lagging, flow("paused", state="paused")])) == ["paused", "lags"]


def test_a_lag_that_is_ordinary_moves_nobody() -> None:
    flows = [flow("a", lag_seconds=0.001), flow("b", lag_seconds=0.9), flow("c", lag_seconds=0.02)]
    assert names(worst_first(flows)) == ["a", "b", "c"]
    assert names(worst_first([*flows, flow("d", rejected=1)])) == ["d", "a", "b", "c"]


def test_totals_are_sums_over_all_flows() -> None:
    first = both(
        "a", delivered=5, lag_rows=3, lag_seconds=2.0, hole_ids=7, conflicts=1, rejected=2, rows_per_second=4.0
    )
    second = both("b", state="paused", delivered=6)
    sweeps = (sweep("a"), sweep("b", proven_seconds=90.0), sweep("c", proven_seconds=None), sweep("d", state="off"))
    sums = totals(daemon(*first, *second, sweeps=(*sweeps, sweep("e", state="off", proven_seconds=None))))
    assert (sums.tables, sums.flows, sums.states) == (2, 4, (("running", 3), ("paused", 1)))
    assert (sums.delivered, sums.lag_rows, sums.rows_per_second) == (5 + 6 + 10 + 10, 3, 4.0)
    assert (sums.hole_ids, sums.holed, sums.conflicts, sums.rejected) == (7, 1, 1, 2)
    assert sums.slowest == first[0]
    assert (sums.swept, sums.proven, sums.oldest) == (4, 3, sweeps[1])


def test_totals_of_nothing() -> None:
    sums = totals(daemon())
    assert (sums.tables, sums.states, sums.slowest, sums.oldest, sums.proven) == (0, (), None, None, 0)


def test_only_some_tables_have_only_their_troubles_and_those_of_all() -> None:
    flows = (*both("a", state="paused", error="no right"), *both("b", state="waiting"))
    status = daemon(*flows, sweeps=(sweep("a"), sweep("b")))
    status = replace(status, troubles=(*status.troubles, "no canary has come through first→second for 9 s"))
    some = only(status, {"b"})
    assert some.flows == flows[2:]
    assert some.sweeps == status.sweeps[1:]
    assert some.troubles == ("b first→second is waiting", "no canary has come through first→second for 9 s")
    assert only(daemon(*flows), {"a"}).troubles == ("a first→second is paused: no right",)
    assert only(daemon(*flows[:2], *both("b")), {"b"}).healthy


@pytest.mark.parametrize(
    ("changes", "trouble"),
    [
        ({}, ""),
        ({"state": "standby"}, ""),
        ({"state": "starting"}, "t first→second is starting"),
        ({"state": "waiting", "error": "gone"}, "t first→second is waiting: gone"),
        ({"state": "waiting", "error": "gone", "awaits": ("other",)}, ""),
        ({"progress_seconds": 31.0}, "t first→second has not moved for 31 s"),
    ],
)
def test_what_is_a_trouble(changes: dict[str, Any], trouble: str) -> None:
    assert flow("t", **changes).trouble == trouble
