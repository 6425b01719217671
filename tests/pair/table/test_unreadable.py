"""Reading around rows settles every name, or all of the first ones, and never splits those that share an id."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snk.errors import MarkMoved
from snk.pair.table import unreadable
from snk.pair.table.synced import Rows
from snk.pair.table.unreadable import Around, read_around

steps = st.lists(st.tuples(st.integers(0, 1), st.booleans()), min_size=1, max_size=40)


def around(ids: Sequence[int], uuids: Sequence[str], bad: set[str], gone: frozenset[str] = frozenset()) -> Around:
    """What comes of reading these names, some of which cannot be given, and some of which are not there any more."""
    id_of = dict(zip(uuids, ids, strict=True))

    async def give(some: Sequence[str]) -> Rows:
        if bad & set(some):
            b"\xff".decode()
        there = [uuid for uuid in reversed(some) if uuid not in gone]
        return Rows([id_of[uuid] for uuid in there], there, (there,))

    return asyncio.run(read_around(ids, uuids, give, "first"))


@given(steps, st.integers(1, 20), st.data())
@example([(0, True), (0, True), (0, True)], 1, None)
def test_names_are_settled_in_their_order_and_rows_of_one_id_together(
    taken: list[tuple[int, bool]], most: int, data: st.DataObject | None
) -> None:
    ids = [sum(step for step, _ in taken[: at + 1]) for at in range(len(taken))]
    uuids = [f"u{at}" for at in range(len(taken))]
    bad = {uuid for uuid, (_, is_bad) in zip(uuids, taken, strict=True) if is_bad}
    gone = data.draw(st.frozensets(st.sampled_from(uuids))) - bad if data else frozenset()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unreadable, "MOST_QUESTIONS", most)
        found = around(ids, uuids, bad, gone)
    assert found.settled > 0
    assert ids[found.settled - 1] not in ids[found.settled :]
    rows, unread_ids, unread = found.named(ids, uuids)
    settled = uuids[: found.settled]
    assert list(rows.uuids) == [uuid for uuid in settled if uuid not in bad | gone]
    assert list(rows.ids) == [ids[uuids.index(uuid)] for uuid in rows.uuids]
    assert list(rows.columns[0] if rows else ()) == list(rows.uuids)
    assert set(unread) == set(unread_ids) == set(settled) & bad


def test_one_bad_row_of_many_takes_few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unreadable, "MOST_QUESTIONS", 30)
    uuids = [f"u{at}" for at in range(10_000)]
    found = around(range(10_000), uuids, {"u777"})
    assert (found.settled, len(found.rows), set(found.unread)) == (10_000, 9_999, {"u777"})


def test_what_no_row_is_to_blame_for_ends_the_reading() -> None:
    async def give(_: Sequence[str]) -> Rows:
        raise MarkMoved("elsewhere")

    with pytest.raises(MarkMoved):
        asyncio.run(read_around([1, 2], ["a", "b"], give, "first"))
