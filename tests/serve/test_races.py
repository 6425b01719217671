"""Requests with the same key at the same time, and a service that dies in the middle of many."""

import asyncio
import random
from typing import Any

import aiohttp
import pytest

from tests.kit.databases import Database, until
from tests.kit.serve import ServeProcess
from tests.serve.test_writing import batch, kind, post, record

LOCK = "select pg_advisory_xact_lock(1)"
WAITING = "begin perform pg_advisory_xact_lock(1); return new; end"
HOLD = (
    f"create or replace function hold() returns trigger language plpgsql as $${WAITING}$$",
    "create or replace trigger hold before insert on records for each row execute function hold()",
)


async def test_the_same_key_at_the_same_time_stores_one_row(client: aiohttp.ClientSession, records: Database) -> None:
    for number in range(20):
        answers = await asyncio.gather(*(post(client, record(f"u{number}"), f"k{number}") for _ in range(8)))
        assert (201, {"key": f"u{number}"}) in answers
        for answer in answers:
            assert answer == (201, {"key": f"u{number}"}) or kind(answer)[:2] == (409, "key-running")
    assert await records.value("select count(*) from records") == 20
    assert await records.value("select count(*) from snk.serve_keys") == 20


async def test_a_request_whose_key_is_in_use_is_answered_at_once(
    client: aiohttp.ClientSession, records: Database
) -> None:
    await records.run(*HOLD)
    try:
        async with records.connect() as holder:
            await holder.exec_driver_sql(LOCK)
            first = asyncio.create_task(post(client, record(), "k"))

            async def waits() -> bool:
                return bool(await records.value("select count(*) from pg_locks where not granted"))

            await until(waits, "the first request to wait")
            async with client.post("/v1/records", json=record(), headers={"Idempotency-Key": "k"}) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (409, "1")
                assert kind((409, await answer.json()))[:2] == (409, "key-running")
            assert not first.done()
            assert kind(await post(client, record(value=2), "k"))[:2] == (409, "key-running")
        assert await first == (201, {"key": "one"})
        assert await post(client, record(), "k") == (201, {"key": "one"})
    finally:
        await records.run("drop trigger hold on records")


async def test_the_same_record_under_two_keys_is_stored_once(client: aiohttp.ClientSession, records: Database) -> None:
    answers = await asyncio.gather(*(post(client, record(), f"k{number}") for number in range(10)))
    assert sorted(answer[0] for answer in answers) == [201, *[409] * 9]
    assert {kind(answer)[1] for answer in answers if answer[0] == 409} == {"already-stored"}
    assert await records.value("select count(*) from records") == 1


@pytest.mark.long
async def test_two_services_share_the_keys(records: Database, service: ServeProcess) -> None:
    with ServeProcess(records.dsn) as other:
        await other.until_answering()
        async with aiohttp.ClientSession(service.url) as one, aiohttp.ClientSession(other.url) as two:
            for number in range(20):
                mine, theirs = await asyncio.gather(
                    post(one, record(f"u{number}"), f"k{number}"), post(two, record(f"u{number}"), f"k{number}")
                )
                assert 201 in (mine[0], theirs[0])
                assert {mine[0], theirs[0]} <= {201, 409}
    assert await records.value("select count(*) from records") == 20


@pytest.mark.sampled(1)
@pytest.mark.long
@pytest.mark.parametrize("size", [1, 20])
async def test_after_a_kill_the_same_keys_store_every_record_once(records: Database, size: int) -> None:
    """Every client sends a request until it is answered, as the documentation tells it to."""
    chance = random.Random(size)
    with ServeProcess(records.dsn) as service:
        await service.until_answering()
        done = 0

        async def send(session: aiohttp.ClientSession, number: int) -> None:
            nonlocal done
            items = [record(f"{number}-{each}") for each in range(size)]
            while True:
                try:
                    answer = await (
                        batch(session, items, f"k{number}") if size > 1 else post(session, items[0], f"k{number}")
                    )
                except (aiohttp.ClientError, OSError):
                    await asyncio.sleep(0.02)
                    continue
                if answer[0] == 201:
                    done += 1
                    return
                assert answer[0] == 503 or kind(answer)[1] == "key-running", answer
                await asyncio.sleep(0.02)

        async def client(numbers: list[int]) -> None:
            async with aiohttp.ClientSession(service.url) as session:
                for number in numbers:
                    await send(session, number)

        clients = [asyncio.create_task(client(list(range(start, 400, 8)))) for start in range(8)]
        for _ in range(4):
            before = done

            async def moved(before: int = before) -> bool:
                return done > before + chance.randrange(40) or all(each.done() for each in clients)

            await until(moved, "some answers")
            service.kill()
            service.start()
        await asyncio.gather(*clients)
    assert await records.value("select count(*) from records") == 400 * size
    assert await records.value("select count(*) from snk.serve_keys") == 400


async def test_nothing_is_kept_of_a_write_whose_session_is_lost(
    client: aiohttp.ClientSession, records: Database
) -> None:
    await records.run(*HOLD)
    try:
        async with records.connect() as holder:
            await holder.exec_driver_sql(LOCK)
            writing: asyncio.Task[Any] = asyncio.create_task(post(client, record(), "k"))

            async def ended() -> bool:
                return bool(
                    await records.value(
                        "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                        " where application_name = 'snk serve' and wait_event_type = 'Lock'"
                    )
                )

            await until(ended, "the session to be ended")
            answer = await writing
        assert kind(answer)[:2] == (503, "unavailable")
    finally:
        await records.run("drop trigger hold on records")
    assert await records.value("select count(*) from snk.serve_keys") == 0
    assert await post(client, record(), "k") == (201, {"key": "one"})
