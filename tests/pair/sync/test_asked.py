"""A comparison that somebody asks for is made, as soon as it can be, and its answer is told."""

import pytest

from snk.pair.core.report import Asked
from snk.pair.schema.own import CANARIES
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.schedule import SweepSchedule
from snk.pair.verify import throttle
from tests.kit.databases import Database, insert, until, until_equal
from tests.pair.conftest import Running, until_healthy

OFF = SweepSchedule(every_seconds=0, share=1.0, settle_seconds=0.5)
# A sweep that has found something looks at it until it is equal.
ENDLESS = SweepSchedule(every_seconds=0, share=1.0, settle_seconds=3600.0)
UUID = "00000000-0000-4000-8000-000000000001"
ROW = f"insert into records (uuid, data) values ('{UUID}', 'one')"
GONE = f"delete from records where uuid = '{UUID}'"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What differed is compared again at once."""
    monkeypatch.setattr("snk.pair.sync.sweeper.AGAIN_SECONDS", 0.1)


async def until_answered(daemon: Daemon, *states: str) -> Asked:
    """Wait for one of these answers."""

    async def answered() -> bool:
        asked = daemon.status().sweeps[0].asked
        return asked is not None and asked.state in states

    await until(answered, f"the comparison to be {' or '.join(states)}")
    found = daemon.status().sweeps[0].asked
    assert found
    return found


async def test_where_sweeps_are_off_one_is_made_if_somebody_asks(
    running: Running, first: Database, second: Database
) -> None:
    async with running(sweeps=OFF, canary_seconds=5) as daemon:
        await first.run(ROW)
        await insert(second, 4)
        await until_equal(first, second, 5)
        await second.run(GONE, "update records set data = 'other' where id = (select min(id) from records)")
        await until_healthy(daemon)
        assert daemon.status().sweeps[0].asked is None
        assert daemon.compare() == ["records"], "canaries are never compared"
        found = await until_answered(daemon, "equal")
        assert (found.missing, found.different) == (1, 1)
        assert await second.value(f"select count(*) from records where uuid = '{UUID}'") == 1
        assert daemon.compare([CANARIES]) == []
        assert daemon.compare(["others"]) == []


async def test_one_that_is_asked_for_while_another_runs_is_made_after_it(
    running: Running, first: Database, second: Database
) -> None:
    async with running(sweeps=ENDLESS) as daemon:
        await first.run(ROW)
        await until_equal(first, second, 1)
        await second.run(GONE)
        daemon.compare(["records"])
        await until_answered(daemon, "running")
        await insert(first, 3)
        await until(lambda: holds(second, 3), "the new rows")
        daemon.compare(["records"])
        assert await until_answered(daemon, "waiting", "equal") == Asked()
        await second.run(ROW)
        await until_answered(daemon, "equal")
        assert daemon.status().sweeps[0].rows == 4, "the sweep that ran when it was asked for had begun before"


async def until_failed(daemon: Daemon, first: Database, second: Database) -> None:
    """Ask for a sweep that would find a row for ever, and end its connection; then both sides are equal."""
    looking = "application_name = 'snk' and query like '%hash%' and datname = current_database()"
    await first.run(ROW)
    await until_equal(first, second, 1)
    await second.run(GONE)
    daemon.compare(["records"])

    async def failed() -> bool:
        await second.rows(f"select pg_terminate_backend(pid) from pg_stat_activity where {looking}")
        return bool(daemon.status().sweeps[0].error)

    await until(failed, "the sweep to fail")
    await second.run(ROW)


async def test_one_that_fails_is_made_again(running: Running, first: Database, second: Database) -> None:
    async with running(sweeps=ENDLESS) as daemon:
        await until_failed(daemon, first, second)
        assert await until_answered(daemon, "equal") == Asked("equal")


async def test_who_asks_again_after_one_has_failed_does_not_wait(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snk.pair.sync.sweeper.AGAIN_SECONDS", 3600.0)
    async with running(sweeps=ENDLESS) as daemon:
        await until_failed(daemon, first, second)
        assert await until_answered(daemon, "failed") == Asked("failed")
        daemon.compare()
        assert await until_answered(daemon, "equal") == Asked("equal")


async def test_the_progress_of_a_large_table_is_told(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("FIRST_ROWS", "LEAST_ROWS", "MOST_ROWS"):
        monkeypatch.setattr(throttle, bound, 50)
    async with running(sweeps=SweepSchedule(every_seconds=0, share=0.05)) as daemon:
        await insert(first, 3000)
        await until_equal(first, second, 3000)
        daemon.compare()
        told: list[float] = []

        async def proven() -> bool:
            sweep = daemon.status().sweeps[0]
            told.extend([] if sweep.progress is None else [sweep.progress])
            return sweep.proven_seconds is not None

        await until(proven, "the proof")
        assert told == sorted(told)
        assert any(0 < share < 1 for share in told)
        assert daemon.status().sweeps[0].progress is None


async def holds(side: Database, rows: int) -> bool:
    return bool(await side.value("select count(*) from records") == rows)
