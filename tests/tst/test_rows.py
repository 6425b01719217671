"""Random rows are what they should be, and cheap."""

import time
from random import Random
from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from tst.rows import random_batch


@given(seed=st.integers(), rows=st.integers(0, 50))
def test_a_batch_holds_so_many_random_uuids_and_strings(seed: int, rows: int) -> None:
    batch = random_batch(Random(seed), rows)
    uuids = [UUID(text) for text in batch.uuids]
    assert len(batch) == len(set(uuids)) == len(set(batch.datas)) == rows
    assert all(uuid.version == 4 and uuid.variant == RFC_4122 for uuid in uuids)
    assert all(len(data) == 32 for data in batch.datas)


@given(seed=st.integers(), rows=st.lists(st.integers(1, 20), max_size=5))
def test_the_same_seed_gives_the_same_rows(seed: int, rows: list[int]) -> None:
    one, other = Random(seed), Random(seed)
    assert [random_batch(one, count) for count in rows] == [random_batch(other, count) for count in rows]


def test_every_random_bit_of_a_uuid_is_used() -> None:
    zeros, ones = 0, (1 << 128) - 1
    for text in random_batch(Random(1), 1000).uuids:
        zeros |= int(text, 16)
        ones &= int(text, 16)
    assert (zeros ^ ones).bit_count() == 122


def test_making_rows_costs_next_to_nothing() -> None:
    source, batches = Random(1), 50
    started = time.process_time()
    for _ in range(batches):
        random_batch(source, 1000)
    assert (time.process_time() - started) / batches < 0.002
