"""A quiet flow waits in the server, wakes for rows and for being told to stop, and does without where it cannot."""

import time

import pytest

from tests.kit.databases import Database, insert, until, until_equal
from tests.pair.conftest import Running, until_asleep


async def waits_in_server(database: Database) -> bool:
    query = "select count(*) from pg_stat_activity where application_name = 'snk' and query like '%wait_for_commits%'"
    return bool(await database.value(query + " and state = 'active' and datname = current_database()"))


@pytest.mark.long
async def test_a_quiet_flow_waits_in_the_server_and_wakes_for_a_row(
    running: Running, first: Database, second: Database
) -> None:
    async with running(poll_max_ms=2.0):
        await insert(first)
        await until(lambda: waits_in_server(first), "the flow to doze")
        await until(lambda: waits_in_server(second), "the other one too")
        await insert(first, 10)
        await insert(second, 10)
        await until_equal(first, second, 21)


@pytest.mark.long
async def test_a_quiet_flow_has_no_lag(running: Running, first: Database) -> None:
    async with running(poll_max_ms=2.0) as daemon:
        await until(lambda: waits_in_server(first), "the flow to doze")
        await until_asleep(daemon)


@pytest.mark.long
async def test_without_the_function_a_flow_polls(running: Running, first: Database, second: Database) -> None:
    async with running():
        pass
    for side in (first, second):
        await side.run("drop function snk.wait_for_commits")
    async with running(poll_max_ms=2.0, init=False) as daemon:
        await insert(first)
        await until_equal(first, second, 1)
        quiet_since = time.monotonic()

        async def quiet() -> bool:
            return time.monotonic() - quiet_since > 0.8

        await until(quiet, "the pace to slow down")
        await insert(second)
        await until_equal(first, second, 2)
        assert {flow.state for flow in daemon.status().flows} == {"running"}
