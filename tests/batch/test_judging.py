"""A run is complete when each of its files is, whatever the consumer says of the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snk.batch.platform.judging import FileReport, Report, verdict
from snk.batch.state import State

DONE = FileReport(State.COMPLETED)
COUNTS = st.none() | st.integers(0, 3)
FILES = st.builds(FileReport, st.sampled_from(State), expected=COUNTS, applied=COUNTS, rejected=COUNTS)


def report(files: dict[str, FileReport], state: State = State.COMPLETED) -> Report:
    return Report(1, state, "consumer", "as told", files)


@pytest.mark.parametrize(
    ("files", "state", "reason"),
    [
        ({"one": DONE, "two": DONE}, State.COMPLETED, "as told"),
        ({"one": DONE}, State.RECON_FAILED, "file two is RECON_FAILED: the report says nothing of it"),
        ({"one": DONE, "two": FileReport(State.RUNNING)}, State.RECON_FAILED, "file two is RUNNING"),
        (
            {"one": FileReport(State.RECON_FAILED, reason="3 differ"), "two": DONE},
            State.RECON_FAILED,
            "file one is RECON_FAILED: 3 differ",
        ),
        (
            {"one": FileReport(State.RUNNING), "two": FileReport(State.FAILED, reason="gone")},
            State.FAILED,
            "file two is FAILED: gone",
        ),
        ({"two": FileReport(State.FAILED)}, State.FAILED, "file two is FAILED"),
        (
            {"one": DONE, "two": FileReport(State.COMPLETED, expected=5, applied=3, rejected=1)},
            State.RECON_FAILED,
            "file two is RECON_FAILED: 5 records were expected, and 3 were applied and 1 rejected",
        ),
        (
            {"one": DONE, "two": FileReport(State.COMPLETED, expected=5, applied=3, rejected=2)},
            State.COMPLETED,
            "as told",
        ),
        ({"one": DONE, "two": FileReport(State.COMPLETED, expected=5, applied=3)}, State.COMPLETED, "as told"),
    ],
)
def test_what_a_report_of_a_complete_run_comes_to(files: dict[str, FileReport], state: State, reason: str) -> None:
    found = verdict(report(files), ("one", "two"))
    assert (found.state, found.reason) == (state, reason)
    assert set(found.files) == {"one", "two"}


def test_a_file_that_nothing_was_told_of_is_noted_so_that_only_it_is_run_again() -> None:
    found = verdict(report({"one": DONE}), ("one", "two")).files
    assert [name for name, each in found.items() if each.state != State.COMPLETED] == ["two"]


@given(st.sampled_from(State), st.dictionaries(st.sampled_from("abc"), FILES), st.sets(st.sampled_from("abc")))
def test_only_a_run_that_is_said_to_be_complete_is_judged_and_it_is_complete_only_if_all_is(
    state: State, files: dict[str, FileReport], wanted: set[str]
) -> None:
    found = verdict(report(files, state), wanted)
    assert verdict(found, wanted) == found
    if state != State.COMPLETED:
        assert (found.state, found.reason, set(found.files)) == (state, "as told", set(files))
        return
    complete = {name for name, each in found.files.items() if each.state == State.COMPLETED}
    assert (found.state == State.COMPLETED) == (complete == set(files) | wanted)
    for name in complete:
        each = found.files[name]
        assert None in (each.expected, each.applied, each.rejected) or each.expected == each.applied + each.rejected  # type: ignore[operator]
