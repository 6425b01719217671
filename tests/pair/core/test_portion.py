"""How many rows to ask for, whatever their widths."""

from hypothesis import given
from hypothesis import strategies as st

from snk.pair.core.portion import Portion

BYTES = 10_000


@given(st.lists(st.integers(0, 3 * BYTES)), st.integers(1, 50))
def test_a_batch_is_within_its_bytes_or_a_single_row_and_reading_always_goes_on(widths: list[int], rows: int) -> None:
    portion = Portion.of(rows, BYTES)
    while widths:
        asked, read = portion, widths[: portion.rows]
        portion = asked.after(max(read))
        if max(read) > asked.widest:
            assert portion.rows < asked.rows, "the same question would be asked for ever"
            continue
        assert len(read) <= rows
        assert sum(read) <= BYTES or len(read) == 1
        widths = widths[len(read) :]


def test_narrow_rows_fill_batches_again_after_a_wide_one() -> None:
    portion = Portion.of(10_000, 2**24).after(2**20)
    assert portion.rows == 16
    for _ in range(40):
        portion = portion.after(32)
    assert portion.rows == 10_000


def test_nothing_read_says_nothing_of_widths() -> None:
    portion = Portion.of(10_000, 2**24).after(2**20)
    assert portion.after(None) == portion
