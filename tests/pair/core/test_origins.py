"""What SNK wrote in a transaction is known for a while; what is forgotten is the oldest."""

from hypothesis import given
from hypothesis import strategies as st

from snk.pair.core.origins import KEPT_SECONDS, MOST_KEPT, Origins

TRANSACTIONS = st.integers(3, 2**32 - 1)
WRITES = st.lists(st.tuples(st.sets(TRANSACTIONS, max_size=4), st.integers(0, 5)), max_size=20)


@given(WRITES)
def test_what_was_written_last_in_a_transaction_counts(writes: list[tuple[set[int], int]]) -> None:
    origins, last = Origins(), dict[int, int]()
    for moment, (transactions, generation) in enumerate(writes):
        origins.wrote(transactions, generation, float(moment))
        last |= dict.fromkeys(transactions, generation)
    assert origins.recent(float(len(writes))) == last


@given(WRITES)
def test_nothing_is_remembered_for_ever(writes: list[tuple[set[int], int]]) -> None:
    origins = Origins()
    for transactions, generation in writes:
        origins.wrote(transactions, generation, 0.0)
    assert origins.recent(KEPT_SECONDS + 1) == {}


def test_no_more_is_remembered_than_there_is_room_for_and_the_oldest_goes_first() -> None:
    origins = Origins()
    origins.wrote(range(MOST_KEPT + 10), 0, 0.0)
    assert list(origins.recent(0.0)) == list(range(10, MOST_KEPT + 10))
