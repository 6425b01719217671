"""An id that was drawn in vain is told from one whose row may still come."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snk.pair.sync import drawn
from snk.pair.sync.drawn import Drawn
from snk.pair.table.commits import Ids

TABLE = Ids(1, "public", "t", "id", 2)
CACHED = Ids(1, "public", "t", "id", 2, cached=True)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn, "WHILE_SECONDS", -1.0)


def test_what_is_drawn_is_news_once() -> None:
    found = Drawn()
    assert [found.is_news(TABLE, last) for last in (5, 5, 6, None, 6, 5)] == [True, False, True, False, False, True]


def test_it_is_in_vain_when_all_have_ended_that_may_have_drawn_it() -> None:
    found = Drawn()
    found.is_news(TABLE, 5)
    for snapshot, vain in (("90:100:90", False), ("90:101:90", False), ("100:105:", True)):
        found.no_row(TABLE, snapshot)
        assert found.is_vain(TABLE) is vain
    found.is_news(TABLE, 6)
    assert not found.is_vain(TABLE)


def test_an_id_that_was_drawn_in_advance_may_be_used_at_any_time() -> None:
    found = Drawn()
    found.is_news(CACHED, 5)
    for snapshot in ("90:100:90", "100:105:", "200:200:"):
        found.no_row(CACHED, snapshot)
    assert not found.is_vain(CACHED)


def test_what_was_noticed_a_moment_ago_may_be_of_a_transaction_that_is_not_seen_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drawn, "WHILE_SECONDS", 3600.0)
    found = Drawn()
    found.is_news(TABLE, 5)
    for snapshot in ("90:100:90", "100:105:", "200:200:"):
        found.no_row(TABLE, snapshot)
    assert not found.is_vain(TABLE)


def test_nothing_is_known_after_all_was_forgotten() -> None:
    found = Drawn()
    found.is_news(TABLE, 5)
    found.no_row(TABLE, "100:100:")
    found.no_row(TABLE, "100:100:")
    assert found.is_vain(TABLE)
    found.forget()
    assert not found.is_vain(TABLE)
    assert found.is_news(TABLE, 5)


@given(st.lists(st.sampled_from(["begin", "draw", "end", "look"]), max_size=40), st.randoms(use_true_random=False))
def test_no_transaction_that_drew_an_id_is_under_way_when_it_is_in_vain(steps: list[str], chance: Any) -> None:
    """A model of a server: transactions have numbers, draw ids, and end in any order."""
    found, following, last = Drawn(), 10, 0
    under_way: dict[int, int] = {}  # by the transaction, the last id that it drew
    for step in steps:
        if step == "begin":
            under_way[following] = -1
            following += 1
        elif step == "draw" and under_way:
            last += 1
            under_way[chance.choice(sorted(under_way))] = last
        elif step == "end" and under_way:
            del under_way[chance.choice(sorted(under_way))]
        elif step == "look" and not found.is_news(TABLE, last):
            if found.is_vain(TABLE):
                assert last not in under_way.values()
            found.no_row(TABLE, f"{min(under_way, default=following)}:{following}:")
