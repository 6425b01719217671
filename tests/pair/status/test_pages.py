"""What the endpoints make of a status: JSON that can be read back, and metrics per table or of all tables together."""

from dataclasses import asdict

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from snk.http.pages import exposition
from snk.pair.core.report import DaemonStatus
from snk.pair.status.ask import parse
from snk.pair.status.pages import as_json, pages
from tests.kit.told import blocker, both, daemon, sweep

LABELS = ("table", "source", "destination", "state")
Samples = dict[tuple[str, tuple[str, ...]], float]


def samples(status: DaemonStatus, *, of_tables: bool) -> Samples:
    """Each sample of SNK, by its name and the values of its labels in the order of `LABELS`."""
    text = exposition(pages(of_tables=of_tables).metrics(status)).decode()
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert of_tables or not any("table" in each.labels for each in found)
    return {
        (each.name, tuple(each.labels[label] for label in LABELS if label in each.labels)): each.value
        for each in found
        if each.name.startswith("snk_")
    }


@pytest.fixture
def status() -> DaemonStatus:
    """Two tables, of which one is paused."""
    a = both(
        "a", state="paused", error="no right", lag_seconds=7.0, delivered=3, conflicts=2, high=5, holes_seconds=4.0
    )
    b = both("b", delivered=4, conflicts=1, high=6, lag_seconds=2.0, blockers=(blocker(9),))
    return daemon(*a, *b, sweeps=(sweep("a", found=2, proven_seconds=None), sweep("b", found=1, proven_seconds=30.0)))


def test_json_is_what_the_values_are(status: DaemonStatus) -> None:
    answer = orjson.dumps(as_json(status))
    assert parse(answer) == status
    told = orjson.loads(answer)
    assert told["healthy"] is False
    assert [flow["name"] for flow in told["flows"]] == [flow.name for flow in status.flows]
    for flow in told["flows"]:
        del flow["name"]
    assert told == orjson.loads(orjson.dumps({"healthy": False, **asdict(status)}))


def test_with_tables_each_flow_has_its_series(status: DaemonStatus) -> None:
    found = samples(status, of_tables=True)
    assert found["snk_rows_delivered_total", ("a", "first", "second")] == 3
    assert found["snk_flow_running", ("a", "first", "second")] == 0
    assert found["snk_flow_running", ("b", "first", "second")] == 1
    assert found["snk_rows_swept_total", ("a",)] == 2
    assert ("snk_proven_seconds", ("a",)) not in found
    assert found["snk_proven_seconds", ("b",)] == 30


def test_without_tables_series_are_sums_or_the_worst_of_a_direction(status: DaemonStatus) -> None:
    found = samples(status, of_tables=False)
    there, back = ("first", "second"), ("second", "first")
    assert found["snk_rows_delivered_total", there] == 3 + 4
    assert found["snk_rows_delivered_total", back] == 10 + 10
    assert found["snk_conflicts", there] == 2 + 1
    assert found["snk_mark_high", there] == 5 + 6
    assert found["snk_lag_seconds", there] == 7
    assert found["snk_holes_seconds", there] == 4
    assert (found["snk_flow_running", there], found["snk_flow_running", back]) == (0, 1)
    assert found["snk_flow_standby", there] == 0
    assert found["snk_rows_swept_total", ()] == 3
    assert found["snk_proven_seconds", ()] == 30
    assert found["snk_healthy", ()] == 0


@pytest.mark.parametrize("of_tables", [True, False])
def test_flows_and_tables_are_counted_with_and_without_tables(status: DaemonStatus, *, of_tables: bool) -> None:
    found = samples(status, of_tables=of_tables)
    assert found["snk_flows", ("first", "second", "paused")] == 1
    assert found["snk_flows", ("first", "second", "running")] == 1
    assert found["snk_flows", ("second", "first", "running")] == 2
    assert found["snk_flows", ("second", "first", "stopped")] == 0
    assert (found["snk_tables", ()], found["snk_tables_proven", ()]) == (2, 1)


def test_without_tables_the_number_of_series_does_not_depend_on_their_number() -> None:
    few, many = (
        daemon(
            *(flow for n in range(tables) for flow in both(f"t{n}")),
            sweeps=tuple(sweep(f"t{n}") for n in range(tables)),
        )
        for tables in (1, 40)
    )
    assert samples(few, of_tables=False).keys() == samples(many, of_tables=False).keys()
    grown = len(samples(many, of_tables=True)) - len(samples(few, of_tables=True))
    assert grown == 39 * 34, "docs/settings.md says how many series a table has"


def test_a_daemon_without_flows_has_metrics_too() -> None:
    assert samples(daemon(), of_tables=False)["snk_healthy", ()] == 1
