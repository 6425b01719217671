"""From any pair of states that real servers hold, check, apply and check ends with no difference; nothing is lost."""

import asyncio
from collections import Counter as Multiset
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snk.pair.servers import EmbeddedPair
from snk.resync.check import Checked
from tests.kit.assignments import World
from tests.kit.assignments import world as made

NUMBERS = count(1)
"""Of projects and of tasks: every example has its own."""


@dataclass(frozen=True)
class State:
    """One project with one task.

    Attributes:
        method: 0 is single assignment.
        rows: sources and workers.
        counters: the values of counters, by the parts of their names around the task's number.
    """

    method: str
    rows: list[tuple[int, int]]
    counters: dict[tuple[str, str], int]


SOURCES = st.integers(1, 7)
SINGLE = st.builds(
    lambda sources, pointer: State("0", [(each, 1) for each in sources], pointer),
    st.lists(SOURCES, max_size=6),
    st.dictionaries(st.just(("sasp_", "")), st.integers(0, 9), max_size=1),
)
MULTIPLE = st.builds(
    lambda rows, counts, greatest: State(
        "1",
        rows,
        {("maic_", f"_{source}"): each for source, each in counts.items()}
        | {("mapc_", f"_{worker}"): each for worker, each in greatest.items()},
    ),
    st.lists(st.tuples(SOURCES, st.sampled_from([-1, 1, 2, 3])), max_size=8),
    st.dictionaries(SOURCES, st.integers(0, 4), max_size=5),
    st.dictionaries(st.integers(1, 3), st.integers(0, 9), max_size=3),
)


@pytest.mark.long
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.one_of(SINGLE, MULTIPLE))
def test_every_state_is_repaired_by_adding_only(database: str, servers: EmbeddedPair, state: State) -> None:
    asyncio.run(_repaired(database, servers.redis.dsn, state))


async def _repaired(database: str, redis: str, state: State) -> None:
    number = next(NUMBERS)
    project = f"P{number}"
    async with made(database, redis) as world:
        await world.project(project, state.method, number)
        await world.rows(project, number, *state.rows)
        before = {f"{stem}{number}{end}": value for (stem, end), value in state.counters.items()}
        await world.counters(**before)
        _, checked = await world.repair(project)
        _only_duplicates_stay(checked, state)
        held, counters = Multiset(await world.held(number)), await _counters(world, number)
        assert Multiset(state.rows) <= held
        assert len(await world.labels(number)) == held.total()
        assert all(counters[key] >= value for key, value in before.items())
        _nothing_was_handed_out_uncounted(counters, held, number, state.method)


def _only_duplicates_stay(checked: Checked, state: State) -> None:
    twice = {source for source, times in Multiset(source for source, _ in state.rows).items() if times > 1}
    assert {each.source for each in checked.differences} == (twice if state.method == "0" else set())
    assert {each.kind for each in checked.differences} <= {"duplicate"}


async def _counters(world: World, task: int) -> dict[str, int]:
    keys = [key.decode() async for key in world.redis.scan_iter(match=f"*_{task}*")]
    return {key: int(await world.redis.get(key)) for key in keys}


def _nothing_was_handed_out_uncounted(
    counters: Mapping[str, int], held: Multiset[tuple[int, int]], task: int, method: str
) -> None:
    """No counter is below what the rows say was handed out."""
    sources = Multiset(source for source, _ in held.elements())
    if method == "0":
        assert counters.get(f"sasp_{task}", 0) == max(sources, default=0)
        return
    assert {source: counters[f"maic_{task}_{source}"] for source in sources} == sources
    for source, worker in held:
        assert worker == -1 or counters[f"mapc_{task}_{worker}"] >= source
