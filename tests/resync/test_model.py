"""From any pair of states, check, apply and check ends with no difference, and nothing was taken away."""

from collections import Counter as Multiset
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snk.resync.model import (
    Counter,
    Difference,
    InsertRows,
    Keys,
    Limits,
    Method,
    Task,
    Unreadable,
    after,
    differences,
    of_sources,
    of_workers,
    settled,
)

LIMITS = Limits()
KEYS = Keys("sasp_7", "maic_7_\0", "mapc_7_\0")
SOURCES = st.integers(1, 9)
WORKERS = st.sampled_from([-1, 1, 2, 3])
COUNTS: st.SearchStrategy[Counter] = st.one_of(st.none(), st.integers(0, 6))
GREATEST: st.SearchStrategy[Counter] = st.one_of(st.none(), st.integers(0, 12))


@dataclass
class State:
    """Both sides, as a real database and a real Redis would hold them: the model of the model."""

    rows: list[tuple[int, int]]
    redis: dict[str, int] = field(default_factory=dict)

    def task(self, method: Method) -> Task:
        """What a check reads."""
        rows = Multiset(source for source, _ in self.rows)
        if method == "single":
            return Task(7, KEYS, rows, self.redis.get("sasp_7"))
        last: dict[int, int] = {}
        for source, worker in self.rows:
            if worker != LIMITS.unassigned:
                last[worker] = max(last.get(worker, 0), source)
        counts: dict[int, Counter] = {source: self.redis.get(KEYS.of_source(source)) for source in range(1, 13)}
        greatest: dict[int, Counter] = {worker: self.redis.get(KEYS.of_worker(worker)) for worker in range(1, 4)}
        return Task(
            7,
            KEYS,
            rows,
            counts={source: count for source, count in counts.items() if count != rows.get(source)},
            last=last,
            greatest={worker: source for worker, source in greatest.items() if source != last.get(worker)},
        )

    def apply(self, found: list[Difference]) -> None:
        """Apply the actions as the servers would, and check that they only add."""
        for action in (action for difference in found for action in difference.actions):
            if isinstance(action, InsertRows):
                assert sum(source == action.source for source, _ in self.rows) == action.before
                self.rows += [(action.source, action.worker)] * action.rows
            else:
                assert self.redis.get(action.key) == action.before
                assert action.after > (action.before if action.before is not None else -1)
                self.redis[action.key] = action.after


def state(rows: list[tuple[int, int]], counters: dict[str, Counter]) -> State:
    """Both sides; counters that are None do not exist."""
    return State(rows, {key: value for key, value in counters.items() if isinstance(value, int)})


multiple_states = st.builds(
    lambda rows, counts, greatest: state(
        rows,
        {KEYS.of_source(source): count for source, count in counts.items()}
        | {KEYS.of_worker(worker): source for worker, source in greatest.items()},
    ),
    st.lists(st.tuples(SOURCES, WORKERS), max_size=15),
    st.dictionaries(SOURCES, COUNTS),
    st.dictionaries(st.integers(1, 3), GREATEST),
)


@given(st.sets(st.integers(1, 30)), st.one_of(st.none(), st.integers(0, 40)))
def test_single_assignment_ends_without_a_difference(sources: set[int], pointer: int | None) -> None:
    both = state([(source, 1) for source in sources], {"sasp_7": pointer})
    handed_out = max([pointer or 0, *sources])
    both.apply(differences(both.task("single"), "single", LIMITS))
    assert not differences(both.task("single"), "single", LIMITS)
    assert sorted(source for source, _ in both.rows) == list(range(1, handed_out + 1))
    assert both.redis.get("sasp_7", 0) == handed_out


@given(st.lists(SOURCES), st.one_of(st.none(), st.integers(0, 12)))
def test_only_duplicates_stay(sources: list[int], pointer: int | None) -> None:
    both = state([(source, 1) for source in sources], {"sasp_7": pointer})
    both.apply(differences(both.task("single"), "single", LIMITS))
    left = differences(both.task("single"), "single", LIMITS)
    assert {each.source for each in left} == {source for source, count in Multiset(sources).items() if count > 1}
    assert {each.kind for each in left} <= {"duplicate"}


@given(multiple_states)
def test_multiple_assignment_ends_without_a_difference(both: State) -> None:
    before = Multiset(both.rows)
    both.apply(differences(both.task("multiple"), "multiple", LIMITS))
    assert not differences(both.task("multiple"), "multiple", LIMITS)
    assert before <= Multiset(both.rows)
    for source, count in Multiset(source for source, _ in both.rows).items():
        assert both.redis[KEYS.of_source(source)] == count


@given(multiple_states)
def test_part_by_part_ends_where_all_at_once_does(both: State) -> None:
    """The workers' part is planned from what the sources' part left, or as it will leave it: the same."""
    at_once = State(list(both.rows), dict(both.redis))
    at_once.apply(differences(at_once.task("multiple"), "multiple", LIMITS))
    both.apply(list(of_sources(both.task("multiple"), LIMITS)))
    both.apply(list(of_workers(both.task("multiple"), LIMITS)))
    assert (Multiset(both.rows), both.redis) == (Multiset(at_once.rows), at_once.redis)


@given(multiple_states)
def test_the_workers_part_alone_never_makes_more_rows_than_were_counted(both: State) -> None:
    rows = Multiset(source for source, _ in both.rows)
    counted = {source: both.redis.get(KEYS.of_source(source), 0) for source in range(1, 13)}
    both.apply(list(of_workers(both.task("multiple"), LIMITS)))
    for source, count in Multiset(source for source, _ in both.rows).items():
        if count > rows[source] and counted[source]:
            assert count <= counted[source]
    assert not list(of_workers(both.task("multiple"), LIMITS))


@given(multiple_states)
def test_after_is_what_the_servers_hold_afterwards(both: State) -> None:
    task = both.task("multiple")
    found = list(of_sources(task, LIMITS))
    both.apply(found)
    assert list(of_workers(after(task, found), LIMITS)) == list(of_workers(both.task("multiple"), LIMITS))


@given(multiple_states, st.lists(st.tuples(SOURCES, WORKERS), max_size=6))
def test_rows_that_come_later_make_no_difference_that_was_not_there(both: State, later: list[tuple[int, int]]) -> None:
    """Counters were read before these rows were written, so the rows may only explain what was missing."""
    task = both.task("multiple")
    both.rows += later
    now = both.task("multiple")
    looked_again = settled(task, "multiple", now.rows, now.last)
    shortage = {each.key: each.redis for each in of_sources(looked_again, LIMITS) if each.kind == "missing"}
    assert shortage.items() <= {each.key: each.redis for each in of_sources(task, LIMITS)}.items()
    behind = [each for each in of_sources(looked_again, LIMITS) if each.kind in ("behind", "absent")]
    assert behind == [each for each in of_sources(task, LIMITS) if each.kind in ("behind", "absent")]


@pytest.mark.parametrize("method", ["single", "multiple"])
def test_unreadable_counters_are_never_written(method: Method) -> None:
    bad = Unreadable("")
    task = Task(7, KEYS, {1: 1, 3: 2}, bad, {1: bad, 3: bad}, {1: 3}, {1: bad, 2: 3})
    actions = [action for each in differences(task, method, LIMITS) for action in each.actions]
    assert actions == []


def test_more_rows_than_allowed_are_not_planned() -> None:
    limits = Limits(most_rows=5)
    assert [each.kind for each in differences(Task(7, KEYS, {}, 6), "single", limits)] == ["too_many"]
    counts: dict[int, Counter] = {1: 3, 2: 3, 3: 2}
    found = list(of_sources(Task(7, KEYS, {}, None, counts), limits))
    assert [(each.source, each.kind) for each in found] == [(1, "missing"), (2, "too_many"), (3, "missing")]
