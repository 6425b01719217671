"""The story of one row, for every place where it can be."""

from typing import Any

import pytest

from tests.conftest import psql
from tests.kit.daemons import DaemonProcess, run_snk
from tests.kit.databases import Database, until

UUID = "00000000-0000-4000-8000-000000000001"
ROW = f"insert into records (uuid, data) values ('{UUID}', 'x')"


def settings(pair: Any) -> dict[str, str]:
    return {"FIRST_DB_URL": pair.first, "SECOND_DB_URL": pair.second, "REDIS_URL": pair.redis}


def why(pair: Any, code: int, *words: str) -> str:
    """What is told about the row."""
    done = run_snk(settings(pair), "why", UUID, *words)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


async def made(pair: Any) -> tuple[Database, Database]:
    assert run_snk(settings(pair), "init").returncode == 0
    return Database(pair.first), Database(pair.second)


async def held(side: Database) -> bool:
    return bool(await side.value(f"select count(*) from records where uuid = '{UUID}'"))


async def recorded(*sides: Database) -> bool:
    """Whether either side has recorded a conflict."""
    return any([await side.value("select count(*) from snk.conflicts") for side in sides])


@pytest.mark.long
async def test_a_row_that_nobody_has_seen(pair: Any) -> None:
    await made(pair)
    assert "Neither side has it" in why(pair, 1)


@pytest.mark.long
async def test_a_row_of_a_table_that_was_never_synced(pair: Any) -> None:
    first, _ = await made(pair)
    await first.run(ROW)
    told = why(pair, 1)
    assert "first: id 1" in told
    assert "second: no such row" in told
    assert "never synced this table to second" in told


@pytest.mark.long
async def test_a_row_that_was_delivered_and_one_that_was_deleted_again(pair: Any) -> None:
    first, second = await made(pair)
    await first.run(ROW)
    with DaemonProcess(pair, SNK_SWEEP_SECONDS="0"):
        await until(lambda: held(second), "the row delivered")
    assert "it is equal: it was delivered" in why(pair, 0)
    assert '"equal": true' in why(pair, 0, "--json")
    await second.run("delete from records")
    assert "counted id 1 as delivered, and second does not have the row" in why(pair, 1)


@pytest.mark.long
async def test_a_row_that_was_not_read_yet(pair: Any) -> None:
    first, second = await made(pair)
    await first.run("insert into records (uuid, data) values (gen_random_uuid(), '')")
    with DaemonProcess(pair):
        await until(lambda: second.value("select count(*) from records"), "the first row delivered")
    await first.run(ROW)
    assert "not read yet: SNK has read first up to id 1" in why(pair, 1)


@pytest.mark.long
async def test_a_row_that_is_held_back_by_an_open_transaction(pair: Any) -> None:
    first, second = await made(pair)
    with DaemonProcess(pair) as daemon:
        await daemon.until_flowing()
        async with first.connect() as writer, first.connect() as other:
            await writer.exec_driver_sql("insert into records (uuid, data) values (gen_random_uuid(), 'open')")
            await first.run("insert into records (uuid, data) values (gen_random_uuid(), 'after')")

            async def passed() -> bool:
                return bool(await second.value("select count(*) from snk.marks where cardinality(holes_low) > 0"))

            await until(passed, "a hole in the mark")
            daemon.kill()
            await writer.commit()
            # The row is there now, and its id lies in the hole; another transaction still keeps the hole open.
            await other.exec_driver_sql("insert into records (uuid, data) values (gen_random_uuid(), 'keeps open')")
            await first.run(f"update records set uuid = '{UUID}' where data = 'open'")
            told = why(pair, 1)
    assert "It is held back" in told
    assert "open for" in told


@pytest.mark.long
async def test_a_row_that_was_refused(pair: Any) -> None:
    first, second = await made(pair)
    await second.run("alter table records add check (data <> 'x')")
    await first.run(ROW)
    with DaemonProcess(pair):
        await until(lambda: second.value("select count(*) from snk.rejected"), "the row refused")
    told = why(pair, 1)
    assert "is set aside: " in told
    assert "violates check constraint" in told


@pytest.mark.long
async def test_a_row_in_conflict(pair: Any) -> None:
    first, second = await made(pair)
    await first.run(ROW)
    await second.run(ROW.replace("'x'", "'y'"))
    assert "No conflict is recorded" in why(pair, 1)
    with DaemonProcess(pair):
        await until(lambda: recorded(first, second), "the conflict recorded")
    told = why(pair, 1)
    assert "differ in data" in told
    assert "The conflict was recorded at" in told


@pytest.mark.long
async def test_an_echo_is_told_where_the_servers_keep_commit_times(own_servers: Any, own_pair: Any) -> None:
    first, second = await made(own_pair)
    for server in (own_servers.first, own_servers.second):
        psql(server, "alter system set track_commit_timestamp = on")
        server.restart()
    await second.run(ROW)
    with DaemonProcess(own_pair):
        await until(lambda: held(first), "the row delivered")
    told = why(own_pair, 0)
    assert "It was written to second; SNK delivered it to first" in told
    assert "The row in first is an echo" in told


@pytest.mark.sampled(1)
@pytest.mark.parametrize("uuid", ["x", "", "00000000"])
async def test_what_is_no_uuid_is_refused(pair: Any, uuid: str) -> None:
    done = run_snk(settings(pair), "why", uuid)
    assert (done.returncode, "is not a uuid" in done.stderr) == (2, True)
