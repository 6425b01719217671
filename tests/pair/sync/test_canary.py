"""Canaries tell whether rows really come through, and a lock that keeps SNK waiting is named."""

import pytest

from snk.pair.sync import canary as canary_module
from snk.pair.sync.daemon import Daemon
from tests.kit.databases import Database, insert, until, until_equal
from tests.pair.conftest import Running, until_healthy


async def landed(daemon: Daemon) -> bool:
    return all(canary.trip_seconds is not None for canary in daemon.status().canaries)


@pytest.mark.long
async def test_canaries_come_through_in_both_directions_and_their_trip_is_told(
    running: Running,
) -> None:
    async with running(canary_seconds=0.1) as daemon:
        await until(lambda: landed(daemon), "canaries to land")
        ways = {(canary.source, canary.destination) for canary in daemon.status().canaries}
        assert ways == {("first", "second"), ("second", "first")}
        await until_healthy(daemon)


@pytest.mark.long
async def test_a_canary_that_does_not_come_through_is_trouble_whatever_else_seems_well(
    running: Running, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary_module, "LATE_SECONDS", 1.0)
    async with running(canary_seconds=0.1) as daemon:
        await until(lambda: landed(daemon), "canaries to land")
        await second.run(
            "create function swallow() returns trigger language plpgsql as $$ begin return null; end $$",
            "create trigger swallow before insert on snk.canaries for each row execute function swallow()",
        )

        async def missed() -> bool:
            return any("no canary has come through first→second" in trouble for trouble in daemon.status().troubles)

        await until(missed, "the canary to be missed")
        assert not daemon.status().healthy


@pytest.mark.long
async def test_old_canaries_are_deleted(running: Running, first: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary_module, "KEPT_SECONDS", 0.5)
    async with running(canary_seconds=0.05):

        async def some_came_and_went() -> bool:
            return bool(await first.value("select coalesce(min(id), 0) > 10 from snk.canaries"))

        await until(some_came_and_went, "old canaries to go")


@pytest.mark.long
async def test_who_holds_a_lock_that_snk_waits_for_is_named(
    running: Running, first: Database, second: Database
) -> None:
    async with running() as daemon:
        await insert(first, 1)
        await until_equal(first, second, 1)
        async with second.connect() as holder:
            await holder.exec_driver_sql("set application_name = 'the-migration'")
            await holder.exec_driver_sql("lock table records in access exclusive mode")
            await insert(first, 1)

            async def named() -> bool:
                return any(
                    locker.side == "second" and locker.application == "the-migration"
                    for locker in daemon.status().lockers
                )

            await until(named, "the holder of the lock to be named")
            await holder.rollback()
        await until_equal(first, second, 2)


@pytest.mark.long
async def test_a_canary_that_a_crash_took_back_is_not_waited_for_for_ever(
    running: Running, first: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary_module, "LATE_SECONDS", 1.0)
    async with running(canary_seconds=0.1) as daemon:
        await until(lambda: landed(daemon), "canaries to land")
        await first.run(
            "create function lose() returns trigger language plpgsql as $$ begin return null; end $$",
            "create trigger lose before insert on snk.canaries for each row execute function lose()",
        )

        async def healthy() -> bool:
            return daemon.status().healthy

        async def unhealthy() -> bool:
            return not daemon.status().healthy

        await until(unhealthy, "the canary to be missed")
        await first.run("drop trigger lose on snk.canaries")
        await until(healthy, "another one to land")
