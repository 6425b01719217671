"""Who may call a consumer, by which keys the platform knows it, and settings that are wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from snk.batch.consumer.tables import TABLES
from tests.kit.consumer import Callbacks, ConsumerProcess, Front, ask, call, until_ended
from tests.kit.databases import Database, until

Make = Callable[..., ConsumerProcess]
MakeFile = Callable[..., dict[str, Any]]


@pytest.mark.long
async def test_only_those_with_a_token_and_the_scope_may_call(make: Make, file: MakeFile, tmp_path: Path) -> None:
    one = make(more=f'[consumer.auth]\nkeys = "{tmp_path}/keys"\n')
    one.start()
    one.kill()
    none = one.snk("token", "--scope", "runs:work")
    assert none.returncode == 2
    assert "Create one with `snk batch consumer keys rotate`" in none.stderr
    assert one.snk("keys", "rotate").returncode == 0
    await one.started()
    right, wrong = (one.snk("token", "--scope", scope).stdout.strip() for scope in ("runs:work", "status:read"))
    body = call({"t0": file()})
    assert (await ask(one.url, body))[0] == 401
    assert (await ask(one.url, body, right[:-8] + "AAAAAAAA"))[0] == 401
    status, problem = await ask(one.url, body, wrong)
    assert (status, problem["scope"]) == (403, "runs:work")
    assert (await ask(one.url, body, right))[0] == 202


@pytest.mark.long
async def test_reports_are_signed_with_the_consumers_own_keys(
    make: Make, file: MakeFile, callbacks: Callbacks, tmp_path: Path
) -> None:
    one = make(more=f'[consumer.auth]\nkeys = "{tmp_path}/keys"\n')
    one.start()
    one.kill()
    assert one.snk("keys", "rotate").returncode == 0
    await one.started()
    token = one.snk("token", "--scope", "runs:work").stdout.strip()
    assert (await ask(one.url, call({"t0": file()}, callback=callbacks.url), token))[0] == 202

    async def came() -> bool:
        return bool(callbacks.came) and callbacks.came[-1]["state"] == "COMPLETED"

    await until(came, "the report")
    assert callbacks.authorizations[-1].startswith("Bearer ey")


@pytest.mark.long
async def test_credentials_of_the_platform_are_sent_with_reports(
    make: Make, file: MakeFile, callbacks: Callbacks, front: Front
) -> None:
    one = await make(more='[consumer.credentials.platform]\nbearer = "for-the-platform"\n').started()
    await until_ended(one.url, call({"t0": file()}, callback=callbacks.url))

    async def came() -> bool:
        return bool(callbacks.authorizations)

    await until(came, "the report")
    assert set(callbacks.authorizations) == {"Bearer for-the-platform"}
    assert {authorization for _, _, authorization in front.came} == {""}


@pytest.mark.long
async def test_a_consumer_without_its_tables_says_how_they_are_made(make: Make, database: Database) -> None:
    await database.run("drop schema snk_batch_consumer cascade")
    one = make()
    one.start()
    assert one.process
    assert one.process.wait(120) == 2
    assert "Run `snk batch consumer init`" in one.log
    assert f"now of version {TABLES.newest}" in one.snk("init").stdout
    assert f"already of version {TABLES.newest}" in one.snk("init").stdout
    await one.started()
    assert "create table snk_batch_consumer.run" in one.snk("init", "--print").stdout.lower()


@pytest.mark.long
async def test_a_wrong_setting_is_named_with_what_is_right(make: Make) -> None:
    one = make(files_at_once=0)
    one.start()
    assert one.process
    assert one.process.wait(120) == 2
    assert "consumer.files_at_once is 0: input should be greater than or equal to 1" in one.log
    two = make("two", host="0.0.0.0")
    two.start()
    assert two.process
    assert two.process.wait(120) == 2
    assert "Name the platform in [consumer.auth]" in two.log


@pytest.mark.long
async def test_a_database_that_is_not_there_yet_is_waited_for(make: Make, database: Database) -> None:
    one = make()
    one.dsn = "postgresql://nobody@127.0.0.1:9/none"
    one.start()

    async def told() -> bool:
        return "database_unreachable" in one.log

    await until(told, "it to say what it waits for")
    assert one.stop() == 0
    one.dsn = database.dsn
    await one.started()


async def test_status_and_metrics_tell_what_was_done(make: Make, file: MakeFile) -> None:
    one = await make().started()
    await until_ended(one.url, call({"t0": file()}))
    async with aiohttp.ClientSession() as session:

        async def let_go() -> bool:
            async with session.get(f"{one.url}/status") as answer:
                status = await answer.json()
            assert status["files_ended"] == {"COMPLETED": 1}
            return not status["runs"]

        await until(let_go, "the run to be worked on no more")
        async with session.get(f"{one.url}/metrics") as answer:
            metrics = await answer.text()
    assert 'snk_consumer_files_total{state="COMPLETED"} 1.0' in metrics


@pytest.mark.long
async def test_runs_that_ended_long_ago_are_forgotten(make: Make, file: MakeFile, database: Database) -> None:
    one = await make(keep_days=30).started()
    for run in (1, 2):
        await until_ended(one.url, call({"t0": file()}, run=run))
    assert one.stop() == 0
    await database.run("update snk_batch_consumer.run set ended_at = now() - interval '31 days' where number = 1")
    await one.started()

    async def forgotten() -> bool:
        return await database.rows("select number from snk_batch_consumer.run") == [(2,)]

    await until(forgotten, "the old run to be forgotten")
    assert await database.value("select count(*) from snk_batch_consumer.file") == 1
