"""A ledger holds what was finished and did not come, the newest of it, within its bounds."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snk.core.intervals import NOTHING, Intervals
from snk.pair.core import ledger as ledger_module
from snk.pair.core.ledger import Ledger

ids = st.sets(st.integers(-20, 60), max_size=12)
steps = st.lists(st.tuples(st.booleans(), ids), max_size=10)


def some(numbers: set[int]) -> Intervals:
    return Intervals.of((i, i) for i in numbers)


@given(steps)
def test_it_holds_what_was_finished_and_did_not_come(taken: list[tuple[bool, set[int]]]) -> None:
    ledger, held = Ledger(), set[int]()
    for came, numbers in taken:
        ledger = ledger.without(numbers) if came else ledger.after(some(numbers))
        held = held - numbers if came else held | numbers
        assert ledger.finished == some(held)
        assert ledger.recent == ledger.finished


@example([(False, set(range(40))), (True, set(range(1, 40, 2)))], 2)
@given(steps, st.integers(1, 4))
def test_within_its_bounds_it_holds_the_newest(taken: list[tuple[bool, set[int]]], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_module, "MOST", most)
        patch.setattr(ledger_module, "KEPT", 2 * most)
        ledger = Ledger()
        for came, numbers in taken:
            whole = ledger.finished - some(numbers) if came else ledger.finished | some(numbers)
            ledger = ledger.without(numbers) if came else ledger.after(some(numbers))
            assert ledger.finished.pairs == whole.pairs[-2 * most :]
            assert ledger.recent.pairs == whole.pairs[-most:]


def test_what_changes_nothing_makes_no_new_ledger() -> None:
    ledger = Ledger(some({1, 5}))
    assert ledger.after(NOTHING) is ledger
    assert ledger.without([2, 3]) is ledger
