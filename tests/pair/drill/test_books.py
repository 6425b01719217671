"""The books see every way in which a side can differ from what was committed."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from snk.db.server import Server
from snk.errors import TableUnfit
from snk.pair.drill import table
from snk.pair.drill.books import Books, Findings
from snk.pair.drill.table import Held
from tests.kit.databases import Database

BOTH = Held(("a", "b"))


@pytest.fixture
def books() -> Books:
    made = Books()
    made.sending(["a", "b"])
    made.answered(["a", "b"])
    return made


def test_two_sides_that_hold_what_was_committed_are_clean(books: Books) -> None:
    assert books.check((BOTH, BOTH)).clean


@pytest.mark.parametrize("at", [0, 1])
def test_a_row_that_one_side_lacks_is_lost(books: Books, at: int) -> None:
    sides = [BOTH, BOTH]
    sides[at] = Held(("b",))
    assert books.check(sides) == Findings(lost=frozenset("a"))


def test_a_row_that_both_sides_lack_is_lost_once(books: Books) -> None:
    assert books.check((Held(("b",)), Held(("b",)))) == Findings(lost=frozenset("a"))


def test_a_row_that_nobody_committed_is_foreign(books: Books) -> None:
    found = books.check((Held(("a", "b", "x")), BOTH))
    assert (found, found.doubled, found.clean) == (Findings(foreign=frozenset("x")), 1, False)


def test_a_row_that_is_there_twice_is_doubled(books: Books) -> None:
    found = books.check((BOTH, Held(("a", "b", "b", "b"))))
    assert (found.twice, found.doubled, found.clean) == (2, 2, False)


def test_a_row_with_other_data_is_lost_and_foreign(books: Books) -> None:
    found = books.check((BOTH, Held(("a", "b"), frozenset("b"))))
    assert found == Findings(frozenset("b"), frozenset("b"))


def test_a_row_lost_here_and_one_too_many_there_do_not_make_up_for_each_other(books: Books) -> None:
    found = books.check((Held(("a", "x")), BOTH))
    assert (found.lost, found.foreign) == (frozenset("b"), frozenset("x"))


def test_a_row_in_doubt_may_be_there_or_not_but_on_both_sides_alike(books: Books) -> None:
    books.sending(["d", "e"])
    assert books.check((BOTH, BOTH)).clean
    there = Held(("a", "b", "d"))
    assert books.check((there, BOTH)).lost == frozenset("d")
    assert books.check((there, there)).clean
    assert books.check((BOTH, BOTH)).lost == frozenset("d")  # it was committed, as is known by now
    assert (books.in_doubt, len(books.committed)) == ({"e"}, 3)


def test_what_was_found_before_is_not_new() -> None:
    known = Findings(frozenset("a"), frozenset("x"), 1)
    assert Findings(frozenset("ab"), frozenset("x"), 1).without(known) == Findings(frozenset("b"))
    assert known.without(known).clean


@pytest.fixture
async def first(pair: Any) -> AsyncIterator[Server]:
    server = Server("first", pair.first)
    name = await table.make(server)
    yield server
    await table.forget(server, name)


async def test_looks_see_what_is_lost_altered_and_twice(first: Server) -> None:
    rows = [table.new_row() for _ in range(3)]
    hand = Database(first.dsn)
    for row in rows:
        await hand.run(f"insert into {table.NAME} (uuid, data) values ('{row['uuid']}', '{row['data']}')")
    a, b, c = (row["uuid"] for row in rows)
    assert sorted((await table.look(first)).uuids) == sorted((a, b, c))
    await hand.run(
        f"alter table {table.NAME} drop constraint {table.NAME}_uuid_key",
        f"delete from {table.NAME} where uuid = '{a}'",
        f"update {table.NAME} set data = 'x' where uuid = '{b}'",
        f"insert into {table.NAME} (uuid, data) select uuid, data from {table.NAME} where uuid = '{c}'",
    )
    books = Books()
    books.answered([a, b, c])
    found = books.check((await table.look(first),))
    assert found == Findings(frozenset((a, b)), frozenset((b,)), 1)


async def test_an_empty_table_holds_nothing(first: Server) -> None:
    assert await table.look(first) == Held(())


async def test_a_table_that_is_there_already_is_left_alone(first: Server) -> None:
    with pytest.raises(TableUnfit, match=r"snk_drill already\. If an earlier drill"):
        await table.make(first)
    assert await table.look(first) == Held(())
