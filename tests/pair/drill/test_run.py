"""A drill on shared servers, with faults of the test's own: what it makes of those that fail, and of rows that go."""

# ruff: noqa: ARG002 - a fault is given the stage, whether it needs it or not

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snk.db.server import Server
from snk.errors import ServersUnfit, Unavailable
from snk.pair.drill import run as run_module
from snk.pair.drill.fault import Fault
from snk.pair.drill.report import Outcome, Result
from snk.pair.drill.run import Drill
from snk.pair.drill.stage import NotSeen, Place, Stage, address_of
from snk.pair.drill.table import NAME
from tests.kit.databases import Database


class Board:
    """Nobody looks on."""

    def begins(self, fault: Fault) -> None: ...

    def says(self, words: str) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...


class Nothing(Fault):
    name = "nothing"
    sentence = "nothing happens"

    async def inflict(self, stage: Stage) -> str:
        return "nothing"

    async def heal(self, stage: Stage) -> str:
        return "healed"


class NeverInflicted(Nothing):
    async def inflict(self, stage: Stage) -> str:
        raise NotSeen("there was nothing to break")


class NeverHealed(Nothing):
    async def inflict(self, stage: Stage) -> str:
        for daemon in list(stage.daemons):
            stage.kill(daemon)
        return "from now on nothing is carried over"

    async def heal(self, stage: Stage) -> str:
        raise Unavailable("first (nowhere): it is gone for good")


class Impossible(Nothing):
    def impossible(self, stage: Stage) -> str:
        return "not here"


class ByHand(Nothing):
    """Somebody does something to the table of one side."""

    def __init__(self, statement: str) -> None:
        self._statement = statement

    async def inflict(self, stage: Stage) -> str:
        await Database(stage.place.first.dsn).run(self._statement)
        return "done by hand"


TAKEN = f"delete from {NAME} where id = (select min(id) from {NAME})"
ALTERED = f"update {NAME} set data = 'x' where id = (select min(id) from {NAME})"
ADDED = f"insert into {NAME} (uuid, data) values (gen_random_uuid(), 'by nobody')"


@pytest.fixture
def place(pair: Any, tmp_path: Path) -> Place:
    sides = Server("first", pair.first), Server("second", pair.second)
    return Place(*sides, pair.redis, None, tmp_path, {**os.environ, "SNK_TABLES": NAME})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences that last are believed sooner."""
    monkeypatch.setattr(run_module, "SETTLE_SECONDS", 2.0)


async def drilled(place: Place, faults: Sequence[Fault]) -> Result:
    drill = Drill(place, faults, 0.5, Board())
    await drill.run()
    return drill.result()


@pytest.mark.long
async def test_a_fault_that_is_survived_held_and_the_servers_are_left_as_they_were(place: Place) -> None:
    result = await drilled(place, [Nothing()])
    (outcome,) = result.outcomes
    assert result.held, outcome.trouble
    assert (outcome.verdict, outcome.seen) == ("held", "nothing; healed")
    assert outcome.rows_committed == result.rows_committed > 100
    assert outcome.longest_delay_seconds > 0
    assert result.last_line() == f"1 fault, {result.rows_committed:,} rows committed, 0 lost, 0 doubled"
    for side in place.sides:
        assert await Database(side.dsn).value(f"select to_regclass('{NAME}') is null")
        assert await Database(side.dsn).value("select count(*) from snk.marks") == 0
        assert await Database(side.dsn).value("select count(*) from snk.leases") == 0


@pytest.mark.long
@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("statement", "verdict", "lost", "doubled"),
    [(TAKEN, "rows lost", 1, 0), (ALTERED, "rows lost", 1, 1), (ADDED, "rows doubled", 0, 1)],
)
async def test_a_row_that_goes_changes_or_comes_by_hand_is_found_once(
    place: Place, statement: str, verdict: str, lost: int, doubled: int
) -> None:
    result = await drilled(place, [ByHand(statement), Nothing()])
    bad, good = result.outcomes
    assert (bad.verdict, bad.rows_lost, bad.rows_doubled) == (verdict, lost, doubled), bad.trouble
    assert (good.verdict, good.rows_lost, good.rows_doubled) == ("held", 0, 0), good.trouble
    assert (len(result.findings.lost), result.findings.doubled, result.held) == (lost, doubled, False)
    assert f"{lost} lost, {doubled} doubled" in result.last_line()


@pytest.mark.long
async def test_a_fault_that_was_not_inflicted_is_no_proof_and_one_that_is_impossible_is_skipped_with_a_word(
    place: Place,
) -> None:
    result = await drilled(place, [NeverInflicted(), Impossible(), Nothing()])
    failed, skipped, held = result.outcomes
    assert (failed.verdict, skipped.verdict, held.verdict) == ("not inflicted", "skipped", "held")
    assert "there was nothing to break" in failed.trouble
    assert skipped.seen == "not here"
    assert result.findings.clean
    assert not result.held
    assert result.last_line().endswith("0 doubled, 1 skipped, 1 not inflicted")
    assert not replace(result, outcomes=(skipped,)).held
    assert replace(result, outcomes=(skipped, held)).held
    assert not replace(result, outcomes=(skipped, held), complete=False).held


@pytest.mark.long
async def test_a_fault_that_does_not_heal_is_told_with_the_daemons_last_words_and_the_next_has_its_turn(
    place: Place,
) -> None:
    result = await drilled(place, [NeverHealed(), Nothing()])
    assert [outcome.verdict for outcome in result.outcomes] == ["not healed", "held"]
    assert "gone for good" in result.outcomes[0].trouble
    assert "no daemon runs" in result.outcomes[0].trouble
    assert result.outcomes[0].rows_lost > 0
    assert result.findings.clean
    assert not result.held


@pytest.mark.long
async def test_a_daemon_that_does_not_start_is_trouble_with_its_own_words(place: Place) -> None:
    broken = Place(place.first, place.second, place.redis_dsn, None, place.folder, {**os.environ, "SNK_TABLES": "no"})
    with pytest.raises(ServersUnfit, match="there is no table no"):
        await drilled(broken, [Nothing()])


@pytest.mark.parametrize(
    ("dsn", "target"),
    [
        ("postgresql://me:p%40ss@db.example/app?sslmode=require", ("db.example", 5432)),
        ("postgres://db.example:6000/app", ("db.example", 6000)),
        ("redis://:secret@cache.example/0", ("cache.example", 6379)),
        ("postgresql://db.example/app?sslmode=verify-full", None),
        ("postgresql://a.example,b.example/app", None),
        ("postgresql:///app?host=/var/run/postgresql", None),
        ("rediss://cache.example/0", None),
        ("unix:///run/redis.sock", None),
    ],
)
def test_a_proxy_stands_only_before_what_does_not_notice(dsn: str, target: tuple[str, int] | None) -> None:
    assert address_of(dsn) == target
