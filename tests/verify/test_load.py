"""Slices of a sweep take about the same time each, and the rests between them leave the servers to others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snk.verify import load
from snk.verify.load import Stride, rest_seconds

seconds = st.floats(0, 100)


@given(st.integers(load.LEAST_ROWS, load.MOST_ROWS), seconds)
def test_a_stride_stays_in_bounds_and_never_more_than_doubles_or_halves(rows: int, took: float) -> None:
    after = Stride(rows).after(took).rows
    assert load.LEAST_ROWS <= after <= load.MOST_ROWS
    assert rows // 2 <= after <= 2 * rows


@given(st.floats(1e-7, 1e-4))
def test_slices_come_to_take_the_time_they_should(row_seconds: float) -> None:
    stride = Stride()
    for _ in range(20):
        stride = stride.after(stride.rows * row_seconds)
    wanted = min(load.MOST_ROWS, max(load.LEAST_ROWS, load.SLICE_SECONDS / row_seconds))
    assert stride.rows == pytest.approx(wanted, rel=0.1, abs=2)


@given(st.floats(0, 0.1), st.floats(0.1, 1))
def test_work_takes_its_share_of_the_time(worked: float, share: float) -> None:
    assert worked == pytest.approx(share * (worked + rest_seconds(worked, share)))


def test_a_statement_that_had_to_wait_is_not_rested_from_for_minutes() -> None:
    assert rest_seconds(60, 0.01) == load.MOST_REST_SECONDS
