"""What tailing cannot see is found by a sweep or in the ledger of holes given up, and brought over."""

import pytest

from snk.pair.core.ledger import Ledger
from snk.pair.sync import late as late_module
from snk.pair.sync import sweeper as sweeper_module
from snk.pair.sync import upkeep as upkeep_module
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.schedule import SweepSchedule
from snk.pair.verify import search as search_module
from snk.pair.verify import sweep as sweep_module
from tests.kit.databases import Database, insert, until, until_equal
from tests.pair.conftest import OFTEN, Running, until_healthy, watch_named
from tests.pair.verify.test_sweep import most_at_once

LATE = "insert into records (id, uuid, data) values ({}, gen_random_uuid(), 'late')"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger is looked at with every beat."""
    monkeypatch.setattr(late_module, "LATE_SECONDS", 0.0)


@pytest.fixture
def without_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that come into holes given up are left to the sweep."""
    monkeypatch.setattr(Ledger, "recent", property(lambda _: Ledger().finished))


async def until_proven(daemon: Daemon) -> None:
    async def proven() -> bool:
        return all(sweep.proven_seconds is not None for sweep in daemon.status().sweeps)

    await until(proven, "both sides to be proven equal")


async def with_a_row_below_the_mark(running: Running, first: Database, second: Database, pace: SweepSchedule) -> Daemon:
    """A row under an id that was rolled back long ago: its hole was given up."""
    async with running(sweeps=pace) as daemon:
        await insert(first, 5)
        async with first.connect() as connection:
            await connection.exec_driver_sql("select nextval('records_id_seq')")
            await connection.rollback()
        await insert(first, 5)
        await until_equal(first, second, 10)

        async def given_up() -> bool:
            return bool(await second.value("select high >= 11 and holes_low = '{}' from snk.marks"))

        await until(given_up, "the hole to be given up")
        await first.run(LATE.format(6))
        await until_equal(first, second, 11, deadline_seconds=5.0)
        return daemon


@pytest.mark.long
async def test_a_row_in_a_hole_given_up_is_found_in_the_ledger(
    running: Running, first: Database, second: Database
) -> None:
    daemon = await with_a_row_below_the_mark(running, first, second, SweepSchedule(every_seconds=0))
    assert [flow.late for flow in daemon.status().flows] == [1, 0]


@pytest.mark.usefixtures("without_ledger")
async def test_a_row_in_a_hole_given_up_is_found_by_a_sweep(
    running: Running, first: Database, second: Database
) -> None:
    daemon = await with_a_row_below_the_mark(running, first, second, OFTEN)
    assert [sweep.found for sweep in daemon.status().sweeps] == [1]


@pytest.mark.long
async def test_rows_on_their_way_back_are_told_of_and_not_found_again(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep_module, "MOST_NAMED", 100)
    monkeypatch.setattr(upkeep_module, "NAMED_SECONDS", 0.0)
    async with running(sweeps=OFTEN) as daemon:
        await insert(first, 300)
        await until_equal(first, second, 300)
        await second.run("delete from records")

        told: list[int] = []

        async def back() -> bool:
            status = daemon.status()
            told.append(sum(flow.wanted for flow in status.flows))
            assert not (told[-1] and status.sweeps[0].state == "running"), "a sweep looks at rows on their way"
            return any(told) and not told[-1]

        await until(back, "rows on their way, and then none")
        assert {100, 200} & set(told), "all of them at once"
        await until_equal(first, second, 300)
        assert [sweep.found for sweep in daemon.status().sweeps] == [300]


@pytest.mark.long
async def test_sweeps_of_all_tables_share_one_throttle(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snk.pair.verify.whole.MOST_ROWS", 10)  # each is swept on its own
    tables = [f"t{at}" for at in range(4)]
    for side in (first, second):
        for table in tables:
            await side.run(TABLE.format(table))
    with most_at_once(monkeypatch) as most:
        async with running(*tables, sweeps=OFTEN) as daemon:
            for table in tables:
                await insert(first, 100, table)
            await until_proven(daemon)
    assert most == {"first": 1, "second": 1}


@pytest.mark.long
@pytest.mark.usefixtures("without_ledger")
async def test_without_sweep_and_ledger_the_row_would_be_lost(
    running: Running, first: Database, second: Database
) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        await with_a_row_below_the_mark(running, first, second, SweepSchedule(every_seconds=0))
    assert caught.group_contains(AssertionError, match="waited in vain: records equal")


@pytest.mark.long
async def test_the_ledger_outlives_the_daemon(running: Running, first: Database, second: Database) -> None:
    async with running():
        async with first.connect() as connection:
            await connection.exec_driver_sql("select nextval('records_id_seq')")
            await connection.rollback()
        await insert(first, 3)
        await until_equal(first, second, 3)

        async def kept() -> bool:
            return bool(await second.value("select coalesce((select lows = '{1}' from snk.ledgers), false)"))

        await until(kept, "the ledger to be kept")
    async with running():
        await first.run(LATE.format(1))
        await until_equal(first, second, 4)


PUT_BACK = "insert into records (id, uuid, data) select n, gen_random_uuid(), 'put back' from generate_series(1, {}) n"


async def until_high_ids_were_read(first: Database, second: Database) -> None:
    """All ids below those of the first row are holes that were given up."""
    await first.run("insert into records (id, uuid, data) values (1000000, gen_random_uuid(), 'first')")

    async def given_up() -> bool:
        return bool(await second.value("select coalesce((select highs = '{999999}' from snk.ledgers), false)"))

    await until(given_up, "the holes to be given up")


@pytest.mark.long
async def test_old_rows_that_are_put_back_come_one_batch_after_the_other(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(batch_rows=10) as daemon:
        await until_high_ids_were_read(first, second)
        await first.run(PUT_BACK.format(500))
        await until(lambda: late(daemon, 1), "the first of them")
        # From now on, whoever waits for the next look waits in vain.
        monkeypatch.setattr(late_module, "LATE_SECONDS", 3600.0)
        await until_equal(first, second, 501)
        assert await late(daemon, 500)


async def late(daemon: Daemon, rows: int) -> bool:
    return daemon.status().flows[0].late >= rows


@pytest.mark.long
async def test_new_rows_do_not_wait_for_old_ones_that_are_put_back(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep_module, "NAMED_SECONDS", 0.0)
    async with running(batch_rows=1) as daemon:
        await until_high_ids_were_read(first, second)
        await first.run(PUT_BACK.format(300))
        await until(lambda: late(daemon, 1), "the first of them")
        uuid = "00000000-0000-4000-8000-000000000001"
        await first.run(f"insert into records (id, uuid, data) values (1000001, '{uuid}', 'new')")
        await until(lambda: holds(second, uuid), "the new row")
        assert not await late(daemon, 300), "it came last"
        await until_equal(first, second, 302)


@pytest.mark.long
async def test_sequences_with_cache_lose_nothing(running: Running, first: Database, second: Database) -> None:
    """Two sessions draw blocks of ids; what one draws in one transaction it uses in a later one."""
    async with running() as daemon:
        await first.run("alter sequence records_id_seq cache 20")
        async with first.connect() as one, first.connect() as other:
            for _ in range(30):
                for connection in (one, other):
                    await connection.exec_driver_sql(
                        "insert into records (uuid, data) values (gen_random_uuid(), 'cached')"
                    )
                    await connection.commit()
        await until_equal(first, second, 60)
        await until_healthy(daemon)


@pytest.mark.long
async def test_status_says_when_both_sides_were_proven_equal_and_up_to_where(
    running: Running, first: Database, second: Database
) -> None:
    async with running(sweeps=OFTEN) as daemon:
        await insert(first, 20)
        await insert(second, 10)
        await until_equal(first, second, 30)
        await until_proven(daemon)

        async def up_to_there() -> bool:
            (sweep,) = daemon.status().sweeps
            return (sweep.rows, sweep.up_to_first, sweep.up_to_second) == (30, 30, 30)

        await until(up_to_there, "all rows to take part")
        assert daemon.status().sweeps[0].found == 0


@pytest.mark.long
async def test_what_is_set_aside_is_not_found_again_and_again(
    running: Running, first: Database, second: Database
) -> None:
    uuid = "00000000-0000-4000-8000-000000000001"
    async with running(sweeps=OFTEN) as daemon:
        await second.run("alter table records add constraint good check (data <> 'bad')")
        await first.run("insert into records (uuid, data) values (gen_random_uuid(), 'bad')")
        await first.run(f"insert into records (uuid, data) values ('{uuid}', 'one')")
        await until(lambda: holds(second, uuid), "the row")
        await second.run(f"update records set data = 'other' where uuid = '{uuid}'")
        await until(lambda: set_aside(daemon, 2), "a refused row and a conflict")
        await until_proven(daemon)
        assert await second.value("select count(*) from snk.conflicts") == 1


async def holds(side: Database, uuid: str) -> bool:
    return bool(await side.value(f"select count(*) from records where uuid = '{uuid}'"))


async def set_aside(daemon: Daemon, count: int) -> bool:
    return daemon.status().sweeps[0].set_aside == count


@pytest.mark.long
async def test_a_fail_over_has_the_whole_table_compared_at_once(
    running: Running,
    first: Database,
    second: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another timeline: even what was durable on the old primary may never have reached the new one."""
    async with running():
        await insert(first, 10)
        await until_equal(first, second, 10)
    await second.run(
        "update snk.marks set boot = '00000009/1/1', safe = 10, high = 10", "delete from records where id = 4"
    )
    monkeypatch.setattr(sweeper_module, "FIRST_SECONDS", 3600.0)
    async with running(sweeps=SweepSchedule(every_seconds=3600.0, share=1.0, settle_seconds=0.5)) as daemon:
        await until_equal(first, second, 10)
        assert daemon.status().sweeps[0].found == 1
        await until_proven(daemon)
    told = capsys.readouterr().out
    assert told.count("source_failed_over") == 1
    async with running():
        await insert(first, 1, "records")
        await until_equal(first, second, 11)
    assert "source_failed_over" not in capsys.readouterr().out, "every session after it owes another sweep"


UUID = "00000000-0000-4000-8000-000000000001"
TABLE = "create table {} (id bigserial primary key, uuid uuid not null unique, data text)"


async def with_a_conflict(first: Database, second: Database, *tables: str) -> None:
    """Both sides have a row of one uuid before SNK starts, and they differ."""
    for side, data in ((first, "one"), (second, "other")):
        for table in tables:
            await side.run(TABLE.format(table))
        await side.run(f"insert into records (uuid, data) values ('{UUID}', '{data}')")


async def recorded(first: Database, second: Database) -> bool:
    return bool(sum([await side.value("select count(*) from snk.conflicts") for side in (first, second)]))


@pytest.mark.long
async def test_a_conflict_of_another_table_excuses_nothing(running: Running, first: Database, second: Database) -> None:
    await with_a_conflict(first, second, "records", "others")
    await first.run(f"insert into others (uuid, data) values ('{UUID}', 'x')")
    async with running("records", "others", sweeps=OFTEN):
        await until(lambda: recorded(first, second), "the conflict to be recorded")
        await until_equal(first, second, 1, "others")
        await second.run("delete from others")
        await until_equal(first, second, 1, "others")


@pytest.mark.long
async def test_a_conflict_that_was_settled_by_deleting_one_row_excuses_nothing(
    running: Running, first: Database, second: Database
) -> None:
    await with_a_conflict(first, second, "records")
    async with running(sweeps=OFTEN):
        await until(lambda: recorded(first, second), "the conflict to be recorded")
        await second.run("delete from records")
        await until_equal(first, second, 1)


@pytest.mark.long
async def test_a_sweep_looks_beyond_what_is_known_to_differ(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "MOST_SWEPT", 3)
    monkeypatch.setattr(search_module, "MOST_ROWS_FETCHED", 4)
    async with running(sweeps=OFTEN):
        await first.run(
            "insert into records (uuid, data) select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'x'"
            " from generate_series(1, 8) n"
        )
        await until_equal(first, second, 8)
        await second.run("update records set data = 'y' where uuid::text like '%00000000000_'")
        await until(lambda: so_many_conflicts(second, 8), "all conflicts")
        await first.run("insert into records (id, uuid, data) values (-5, 'ffffffff-0000-4000-8000-000000000001', 'z')")
        await until(lambda: holds(second, "ffffffff-0000-4000-8000-000000000001"), "the row behind them")


@pytest.mark.long
async def test_wide_rows_that_a_sweep_found_come_a_few_at_a_time(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    kib = 2**10
    seen = watch_named(monkeypatch)
    async with running(sweeps=OFTEN, batch_bytes=100 * kib):
        await first.run(
            "insert into records (uuid, data)"
            f" select gen_random_uuid(), repeat('x', {30 * kib}) from generate_series(1, 20)"
        )
        await until_equal(first, second, 20)
        await second.run("delete from records")
        await until_equal(first, second, 20)
    assert 30 * kib < max(seen) < 150 * kib


async def so_many_conflicts(side: Database, count: int) -> bool:
    return bool(await side.value("select count(*) from snk.conflicts") == count)
