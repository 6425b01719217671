"""What the pages of the watch make of its rounds."""

import pytest

from snk.http.portal.history import History
from snk.resync.portal.overview import MOST_MEASURED, chart, commands, in_all, measured, rows
from snk.resync.watch import Verdict, WatchStatus


def verdict(project: str, unreadable: int = 0, **differences: int) -> Verdict:
    equal = not (differences or unreadable)
    return Verdict(project, "single", equal, differences, unreadable, "", 1.0)


STATUS = WatchStatus((verdict("a"), verdict("b", missing=2), verdict("c", 1, behind=2, missing=4)), rounds=1)


def test_the_project_that_differs_most_comes_first() -> None:
    found = rows(STATUS)
    assert [(row.project, row.total, row.state) for row in found] == [
        ("c", 7, "different"),
        ("b", 2, "different"),
        ("a", 0, "equal"),
    ]
    assert found[0].kinds == [("missing", 4), ("behind", 2), ("unreadable", 1)]
    assert in_all(found) == [("missing", 6), ("behind", 2), ("unreadable", 1)]


def test_a_project_that_is_repaired_goes_down_to_zero_in_the_chart() -> None:
    history = History()
    history.add(10.0, measured(STATUS))
    history.add(20.0, {})
    drawn = chart(history, 0.0)
    assert [(line.name, list(line.points)) for line in drawn.lines] == [
        ("c", [(10.0, 7.0), (20.0, 0.0)]),
        ("b", [(10.0, 2.0), (20.0, 0.0)]),
    ]
    assert drawn.others == 0


def test_of_many_projects_those_that_differ_most_are_kept_and_three_are_drawn() -> None:
    history = History()
    many = WatchStatus(tuple(verdict(f"p{number}", missing=number) for number in range(1, 201)))
    history.add(10.0, measured(many))
    drawn = chart(history, 0.0)
    assert [line.name for line in drawn.lines] == ["p200", "p199", "p198"]
    assert drawn.others == MOST_MEASURED - 3


@pytest.mark.parametrize(
    ("project", "words"),
    [("P", "snk resync sync P"), ("a b; rm", "snk resync sync 'a b; rm'"), ("-x", "snk resync sync -- -x")],
)
def test_a_command_can_be_pasted_whatever_the_project_is_called(project: str, words: str) -> None:
    assert commands(project)[0][0] == words
