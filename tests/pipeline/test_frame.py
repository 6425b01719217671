"""Frames are counted in UTC from the base, half-open, and named so that names lead back to them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snk.pipeline.frame import Grid, Portion, written

# From 1970 to 2200, and frames of a second to a day.
bases = st.integers(0, 4_000_000_000)
lengths = st.integers(1, 86_400)
frames = st.integers(0, 30_000)
parts = st.integers(0, 1_000)


@given(bases, lengths, frames, parts)
def test_a_name_leads_back_to_its_portion(base: int, seconds: int, frame: int, part: int) -> None:
    grid = Grid(base, seconds)
    assert grid.portion(grid.name(Portion(frame, part))) == Portion(frame, part)


@given(bases, lengths, st.lists(st.tuples(frames, st.integers(0, 9)), min_size=2, max_size=2))
def test_names_are_in_the_order_of_their_portions(base: int, seconds: int, pair: list[tuple[int, int]]) -> None:
    grid = Grid(base, seconds)
    one, other = (Portion(*each) for each in pair)
    assert (grid.name(one) < grid.name(other)) == (one < other)


@given(bases, lengths, st.text("0123456789TZ.-", max_size=22) | st.from_regex(r"\d{8}T\d{6}Z(\.\d+)?", fullmatch=True))
def test_a_text_is_a_name_only_if_it_is_the_one_name_of_a_portion(base: int, seconds: int, text: str) -> None:
    grid = Grid(base, seconds)
    portion = grid.portion(text)
    assert portion is None or grid.name(portion) == text


@pytest.mark.parametrize(
    "name",
    [
        "20261125T000030Z",  # not on the grid
        "20261124T235900Z",  # before the base
        "20261125T000000Z.0",
        "20261125T000000Z.01",
        "20261125T000000",
        "20261325T000000Z",
        "20261125T000000Z.1.json",
        "\uff120261125T000000Z",
        "",
    ],
)
def test_other_names_are_none(name: str) -> None:
    assert Grid(int(datetime(2026, 11, 25, tzinfo=UTC).timestamp())).portion(name) is None


@given(bases, lengths, st.integers(0, 100_000_000), st.sampled_from([0.0, 0.25, 0.999]))
def test_so_many_frames_have_ended_as_have_their_ends_behind_them(
    base: int, seconds: int, later: int, fraction: float
) -> None:
    grid, now = Grid(base, seconds), base + later + fraction
    ended = grid.ended(now)
    assert grid.start(ended) <= now < grid.start(ended + 1), "the end of a frame belongs to the next one"


@given(bases, lengths, st.integers(1, 1_000_000))
def test_before_the_base_no_frame_has_ended(base: int, seconds: int, before: int) -> None:
    assert Grid(base, seconds).ended(base - before) == 0
    assert Grid(base, seconds).ended(base + seconds - 0.001) == 0


@given(bases, lengths, frames)
def test_a_frame_ends_where_the_next_one_starts(base: int, seconds: int, frame: int) -> None:
    grid = Grid(base, seconds)
    assert grid.start(frame + 1) - grid.start(frame) == seconds
    assert datetime.fromisoformat(grid.iso(frame)).timestamp() == grid.start(frame)


def test_a_start_is_written_as_rfc_3339_has_it() -> None:
    assert written(1_795_564_800.9) == "2026-11-25T00:00:00Z"
