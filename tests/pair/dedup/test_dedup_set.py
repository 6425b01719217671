"""The set knows what was noted and not yet met, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from snk.pair.dedup.dedup_set import DedupSet

uuids = st.lists(st.sampled_from([f"u{n}" for n in range(30)]), unique=True, max_size=10)


def known(most: int = 1000) -> DedupSet:
    fresh = DedupSet(most)
    fresh.anchor("boot")
    return fresh


@given(st.lists(st.tuples(st.booleans(), uuids), max_size=30))
def test_takes_exactly_what_was_noted_and_not_met(history: list[tuple[bool, list[str]]]) -> None:
    notes, expected = known(), set[str]()
    for noting, batch in history:
        if noting:
            notes.note(batch, "boot")
            expected |= set(batch)
        else:
            assert notes.take(batch) == [uuid not in expected for uuid in batch]
            expected -= set(batch)
        assert len(notes) == len(expected)
        assert {uuid for batch in notes.batches().values() for uuid in batch} >= expected


def test_a_batch_met_in_full_before_it_was_written_behind_never_is() -> None:
    notes = known()
    notes.note(["a", "b"], "boot")
    notes.take(["a"])
    assert list(notes.added.values()) == [["a", "b"]]
    notes.take(["b"])
    assert not notes.added
    assert not notes.dropped


def test_a_batch_written_behind_is_dropped_there_when_met() -> None:
    notes = known()
    number = notes.note(["a"], "boot")
    notes.added.clear()  # as the writer behind does
    notes.take(["a"])
    assert notes.dropped == {number}


def test_a_restart_of_the_server_empties_the_set() -> None:
    notes = known()
    notes.note(["a"], "boot")
    notes.anchor("boot")
    assert len(notes)
    notes.anchor("another boot")
    assert notes.take(["a"]) == [True]
    assert len(notes) == 0


def test_rows_read_before_the_restart_are_not_noted_after_it() -> None:
    notes = known()
    notes.note(["a"], "an earlier boot")
    assert notes.take(["a"]) == [True]


def test_a_write_that_found_rows_present_forgets_their_notes() -> None:
    notes = known()
    number = notes.note(["a", "b"], "boot")
    notes.land(number, ["a"])
    assert notes.take(["a", "b"]) == [True, False]


def test_settling_drops_what_will_not_come_and_spares_what_may() -> None:
    notes = known()
    first = notes.note(["a", "b"], "boot")
    notes.note(["c"], "boot")
    notes.take(["a"])
    notes.settle(first)
    assert notes.take(["b", "c"]) == [True, False]


@given(st.lists(uuids, max_size=30))
def test_memory_is_bounded_by_the_limit_and_one_batch(batches: list[list[str]]) -> None:
    notes = known(most=5)
    for batch in batches:
        notes.note(batch, "boot")
        assert len(notes) <= 5 + 10
