"""What `snk up` shows of few flows and of many."""

from io import StringIO

from rich.console import Console

from snk.pair.commands.view import PairSnapshot, line, panel
from snk.pair.core.report import FlowStatus
from tests.kit.told import both, daemon


def snapshot(*flows: FlowStatus) -> PairSnapshot:
    return PairSnapshot(1.0, (5, 6), daemon(*flows))


def drawn(shown: PairSnapshot) -> str:
    out = StringIO()
    Console(file=out, width=200).print(panel(shown, "title"))
    return out.getvalue()


MANY = (*(flow for n in range(20) for flow in both(f"t{n:02}", rows_per_second=2.0)), *both("late", lag_seconds=3.0))


def test_a_line_names_each_of_few_flows() -> None:
    assert "first→second 0/s, 4 ms | second→first 0/s, 4 ms |" in line(snapshot(*both("a")))


def test_a_line_sums_many_flows() -> None:
    assert line(snapshot(*MANY)) == "   1.0 s | first 5 | second 6 | 42 flows 40/s, at most 3000 ms | holes 0 | dedup 7"


def test_a_panel_shows_all_of_few_flows_and_the_worst_of_many() -> None:
    few, many = drawn(snapshot(*both("a"), *both("b"))), drawn(snapshot(*MANY))
    assert few.count("→") == 4
    assert "more" not in few
    assert many.count("→") == 10
    assert "first → second  late" in many
    assert "... and 32 flows that are no worse" in many
