"""What happens to the service when the database, the pool, or the service itself ends."""

import asyncio
import signal
import time
from typing import Any

import aiohttp
import pytest

from snk.pair.servers import EmbeddedPair
from tests.kit.databases import Database, until
from tests.kit.serve import ServeProcess, prepared
from tests.serve.test_pages import problem
from tests.serve.test_races import HOLD, LOCK
from tests.serve.test_writing import post, record


async def test_a_lost_database_is_answered_with_503_until_it_is_back(own_servers: EmbeddedPair) -> None:
    database = await prepared(own_servers.first.dsn)
    with ServeProcess(own_servers.first.dsn) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client:
            assert (await post(client, record("a"), "a"))[0] == 201
            own_servers.first.stop()
            for _ in range(3):
                async with client.get("/v1/records") as answer:
                    assert (await problem(answer))[:2] == (503, "unavailable")
                    assert int(answer.headers["Retry-After"]) >= 1
                    assert own_servers.first.dsn.rpartition(":")[2].partition("/")[0] not in await answer.text()
                async with client.get("/health") as answer:
                    assert answer.status == 503
                assert (await post(client, record("b"), "b"))[0] == 503
            own_servers.first.start()

            async def back() -> bool:
                return (await post(client, record("b"), "b"))[0] == 201

            await until(back, "the service to recover")
        assert service.stop() == 0
    assert await database.value("select count(*) from records") == 2


@pytest.mark.long
async def test_a_service_waits_for_a_database_that_is_not_there_yet(own_servers: EmbeddedPair) -> None:
    await prepared(own_servers.first.dsn)
    with ServeProcess(own_servers.first.dsn) as service:
        await service.until_answering()
        service.stop()
        own_servers.first.stop()
        service.start()

        async def told() -> bool:
            return "nothing is served yet" in service.log

        await until(told, "the service to say that it waits")
        own_servers.first.start()
        await service.until_answering()


@pytest.mark.long
async def test_a_full_pool_is_answered_with_503(records: Database) -> None:
    await records.run(*HOLD)
    with ServeProcess(records.dsn, connections=2, wait_ms=100) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client, records.connect() as holder:
            await holder.exec_driver_sql(LOCK)
            writing = [asyncio.create_task(post(client, record(f"u{i}"), f"k{i}")) for i in range(2)]

            async def both() -> bool:
                return await records.value("select count(*) from pg_locks where not granted") == 2

            await until(both, "both connections to be in use")
            for _ in range(5):
                async with client.get("/v1/records") as answer:
                    assert (await problem(answer))[:2] == (503, "overloaded")
                    assert answer.headers["Retry-After"] == "1"
            async with client.get("/health") as answer:
                assert (answer.status, await answer.json()) == (200, {"status": "busy"})
            await holder.rollback()
            assert [answer[0] for answer in await asyncio.gather(*writing)] == [201, 201]
            async with client.get("/v1/records") as answer:
                assert answer.status == 200
    await records.run("drop trigger hold on records")


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_within_five_seconds_and_finishes_what_is_under_way(records: Database, how: int) -> None:
    await records.run(*HOLD)
    with ServeProcess(records.dsn) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client, records.connect() as holder:
            await holder.exec_driver_sql(LOCK)
            writing: asyncio.Task[Any] = asyncio.create_task(post(client, record(), "k"))

            async def waits() -> bool:
                return bool(await records.value("select count(*) from pg_locks where not granted"))

            await until(waits, "the request to wait")
            stopping = asyncio.create_task(asyncio.to_thread(service.stop, how))

            async def closed() -> bool:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", service.port)
                except OSError:
                    return True
                writer.close()
                return False

            await until(closed, "it listens no more")
            await holder.rollback()
            assert (await writing)[0] == 201
            assert await stopping == 0
    await records.run("drop trigger hold on records")


@pytest.mark.long
async def test_it_ends_although_a_client_never_reads(records: Database) -> None:
    await records.run(
        "insert into records select i::text || repeat('x', 500), '2026-11-25', 1 from generate_series(1, 100000) i"
    )
    with ServeProcess(records.dsn) as service:
        await service.until_answering()
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"GET /v1/records/frames/2026-11-25T00:00Z HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        assert await asyncio.to_thread(service.stop) == 0
        assert time.monotonic() - began < 5
        writer.close()
