"""The tail delivers every committed row, once, and gives up no hole that can still be filled."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snk.core.intervals import Intervals
from snk.pair.core import tail as tail_module
from snk.pair.core.tail import Fenced, Tail
from tests.kit.histories import Do, Event, histories


@dataclass
class Transaction:
    drawn: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    kept: int = 0
    name: str = ""


@dataclass
class Database:
    """A model of what PostgreSQL promises: ids are handed out at once, rows are seen after the commit, and who drew
    an id holds a lock until its transaction is over."""

    next_id: int = 1
    transactions: int = 0
    visible: set[int] = field(default_factory=set)
    open: dict[int, Transaction] = field(default_factory=dict)

    def play(self, event: Event) -> None:
        mine = self.open.get(event.writer)
        match event.do:
            case Do.DRAW:
                self._begun(event.writer).drawn.append(self._draw())
            case Do.INSERT:
                mine = self._begun(event.writer)
                mine.rows.append(mine.drawn.pop(0) if mine.drawn else self._draw())
            case Do.SAVEPOINT if mine:
                mine.kept = len(mine.rows)
            case Do.ROLLBACK_TO if mine:
                del mine.rows[mine.kept :]
            case Do.COMMIT if mine:
                self.visible.update(self.open.pop(event.writer).rows)
            case Do.ROLLBACK if mine:
                del self.open[event.writer]
            case _:
                pass

    def locks(self) -> frozenset[str]:
        return frozenset(transaction.name for transaction in self.open.values())

    def _draw(self) -> int:
        self.next_id += 1
        return self.next_id - 1

    def _begun(self, writer: int) -> Transaction:
        if writer not in self.open:
            self.transactions += 1
            self.open[writer] = Transaction(name=f"{writer}/{self.transactions}")
        return self.open[writer]


class Reader:
    """Runs the loop of the protocol one statement at a time, so that anything can happen in between."""

    def __init__(self, database: Database, limit: int) -> None:
        self.tail = Tail()
        self.delivered: list[int] = []
        self.finished: set[int] = set()
        self._database = database
        self._limit = limit
        self._next = self._read

    def advance(self) -> None:
        self._next()

    def round(self) -> None:
        """To the beginning of the next round."""
        self._next()
        while self._next != self._read:
            self._next()

    def _read(self) -> None:
        ids = sorted(i for i in self._database.visible if i > self.tail.high)[: self._limit]
        self.tail = self.tail.read(ids)
        self.delivered += ids
        self._next = self._look if self.tail.fenced else self._read

    def _look(self) -> None:
        self.tail = self.tail.look(self._database.locks())
        self._next = self._reread if self.tail.due else self._read

    def _reread(self) -> None:
        part = self.tail.due.first(self._limit, 2 * self._limit)
        found = sorted(self._database.visible & set(part))
        cut = len(found) > self._limit
        found = found[: self._limit]
        self.tail = self.tail.reread(found, up_to=found[-1] if cut else part.pairs[-1][1])
        self.delivered += found
        self.finished |= set(self.tail.finished)
        self._next = self._read


def play(events: Iterable[Event], limit: int) -> None:
    database = Database()
    reader = Reader(database, limit)
    for event in events:
        if event.do is Do.ADVANCE:
            reader.advance()
        else:
            database.play(event)
        unseen = {i for i in database.visible if i <= reader.tail.high} - set(reader.delivered)
        assert unseen <= set(reader.tail.holes), "a visible row at or below high is neither delivered nor in a hole"
        known = [*reader.delivered, *reader.tail.holes, *reader.finished]
        assert sorted(known) == list(range(1, reader.tail.high + 1)), "an id is neither delivered, hole nor finished"
    for _ in range(2 * database.next_id + 3):
        reader.round()
    assert database.visible == set(reader.delivered), "a row waits for a transaction that is not its own"
    for writer in list(database.open):
        database.play(Event(Do.COMMIT, writer))
    for _ in range(2 * database.next_id + 3):
        reader.round()
    assert sorted(reader.delivered) == sorted(database.visible), "lost, or delivered twice"
    assert not reader.tail.fenced, "a hole is held open by nobody"


@settings(max_examples=1000, deadline=None)
@given(histories(80), st.integers(1, 5))
def test_every_committed_row_is_delivered_once_and_every_hole_closed(events: list[Event], limit: int) -> None:
    play(events, limit)


LATE_COMMIT = [
    Event(Do.INSERT, 0),
    Event(Do.INSERT, 1),
    Event(Do.COMMIT, 1),
    *[Event(Do.ADVANCE)] * 3,
    Event(Do.COMMIT, 0),
    *[Event(Do.ADVANCE)] * 3,
]


def test_a_row_committed_late_is_delivered() -> None:
    play(LATE_COMMIT, 10)


def test_without_fences_the_late_row_would_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: with a tail that gives holes up at once, it does."""
    monkeypatch.setattr(tail_module, "_looked", lambda group, _: Fenced(group.holes, frozenset(), due=True))
    with pytest.raises(AssertionError, match=r"lost|neither"):
        play(LATE_COMMIT, 10)


def test_without_a_word_of_what_was_finished_an_id_would_be_unaccounted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Tail.reread
    monkeypatch.setattr(Tail, "reread", lambda *args, **more: replace(plain(*args, **more), finished=Intervals()))
    rolled_back = [Event(Do.ROLLBACK, 0) if event == Event(Do.COMMIT, 0) else event for event in LATE_COMMIT]
    with pytest.raises(AssertionError, match="nor finished"):
        play(rolled_back, 10)


def reread_once(tail: Tail, writers: frozenset[str]) -> Tail:
    """Looked at for the first time, and then once more, without finding anything."""
    return tail.look(writers).look(writers).reread([])


def test_a_reread_tells_what_it_finished_and_the_next_read_forgets_it() -> None:
    tail = Tail().read([3, 6]).look(frozenset())
    cut = tail.reread([1], up_to=4)
    assert (cut.finished, cut.holes) == (Intervals.of([(2, 2), (4, 4)]), Intervals.of([(5, 5)]))
    assert cut.reread([]).finished == Intervals.of([(5, 5)])
    assert not cut.read([]).finished
    assert not cut.read([7]).finished


def test_what_somebody_may_still_bring_is_not_finished() -> None:
    tail = Tail().read([3]).look(frozenset({"a", "b"})).look(frozenset({"b"}))
    assert not tail.reread([]).finished
    ended = tail.reread([]).look(frozenset())
    assert ended.reread([1]).finished == Intervals.of([(2, 2)])


@given(st.lists(st.sets(st.integers(1, 60), min_size=1), min_size=1, max_size=6), st.data())
def test_finished_ids_are_in_no_hole_even_where_holes_are_coarse(reads: list[set[int]], data: st.DataObject) -> None:
    writers = st.frozensets(st.sampled_from("abc"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail_module, "MOST_HOLES", 2)
        tail, known = Tail(), set[int]()
        for ids in reads:
            above = sorted(i for i in ids if i > tail.high)
            tail = tail.read(above).look(data.draw(writers))
            seen = st.sets(st.sampled_from([*tail.due])) if tail.due else st.just(set[int]())
            found = data.draw(seen)
            cut_off: bool = data.draw(st.booleans())
            up_to = max(found) if found and cut_off else None
            tail = tail.reread(sorted(found), up_to=up_to)
            known |= {*above, *found, *tail.finished}
            assert not set(tail.finished) & {*tail.holes, *found}
            assert known | set(tail.holes) == set(range(1, tail.high + 1))


def test_a_hole_waits_only_for_those_seen_when_it_appeared() -> None:
    tail = Tail().read([2]).look(frozenset({"a"}))
    assert tail.writers == {"a"}
    later = tail.read([3, 4, 5]).look(frozenset({"a", "b"}))
    assert later.writers == {"a"}, "who came later drew later ids"
    assert later.reread([]).look(frozenset({"b"})).due == Intervals.of([(1, 1)])


def test_a_hole_is_reread_when_a_member_has_ended_not_at_every_look() -> None:
    tail = reread_once(Tail().read([3]), frozenset({"a", "b"}))
    assert not tail.look(frozenset({"a", "b", "c"})).due
    ended = tail.look(frozenset({"b"}))
    assert ended.due == Intervals.of([(1, 2)])
    assert not ended.reread([1]).look(frozenset({"b"})).due
    assert ended.reread([1]).holes == Intervals.of([(2, 2)])


def test_a_hole_is_reread_once_more_for_whoever_ended_between_read_and_look() -> None:
    tail = Tail().read([3]).look(frozenset({"b"}))  # "a", who drew 1, committed just before this look
    assert not tail.due
    assert tail.look(frozenset({"b"})).due == Intervals.of([(1, 2)])


def test_an_id_that_occurs_twice_hides_no_hole() -> None:
    assert Tail().read([1, 1, 3]).holes == Intervals.of([(2, 2)])
    assert not Tail().read([1, 1, 2]).fenced


def test_holes_without_number_become_coarse() -> None:
    holes = Tail().read(range(2, 100_000, 2)).look(frozenset({"a"})).holes
    assert len(holes.pairs) == tail_module.COARSE_HOLES
    assert all(hole in holes for hole in range(1, 99_998, 2))


def test_a_reread_cut_short_keeps_the_rest_due() -> None:
    tail = Tail().read([10]).look(frozenset())
    cut = tail.reread([2, 4], up_to=4)
    assert cut.due == cut.holes == Intervals.of([(5, 9)])
    assert not cut.reread([]).fenced


def test_a_resumed_tail_looks_at_its_fences_afresh() -> None:
    tail = Tail.resumed(9, Intervals.of([(3, 4)]))
    assert not tail.due
    assert tail.look(frozenset()).due == Intervals.of([(3, 4)])
    assert not Tail.resumed(9, Intervals()).fenced


def test_groups_with_one_fence_are_one_group() -> None:
    tail = reread_once(Tail().read([2]), frozenset({"a"}))
    tail = reread_once(tail.read([4]), frozenset({"a"})).look(frozenset({"a"}))
    assert tail.fenced == (Fenced(Intervals.of([(1, 1), (3, 3)]), frozenset({"a"}), reread=True),)
