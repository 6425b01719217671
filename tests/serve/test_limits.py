"""Limits: bodies, heads, slow clients, many clients, and clients that ask too often."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.kit.databases import Database, until
from tests.kit.serve import Connect, ServeProcess, Wire, in_this_process
from tests.serve.test_pages import problem
from tests.serve.test_writing import kind, post, record

GET = b"GET /v1/records HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/records HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\n"


async def test_a_body_that_says_to_be_too_long_is_refused_before_it_is_sent(
    connect: Connect, service: ServeProcess
) -> None:
    wire = await connect(service.url)
    await wire.say(POST + b"Content-Length: 16777217\r\n\r\n")
    assert await wire.status() == 413
    await wire.ended()


async def test_a_body_that_is_sent_in_chunks_is_refused_at_its_limit(connect: Connect, records: Database) -> None:
    with ServeProcess(records.dsn, body_bytes_max=100_000) as service:
        await service.until_answering()
        wire = await connect(service.url)
        await wire.say(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"2710\r\n" + b"x" * 10_000 + b"\r\n"
        for _ in range(20):
            await wire.say(chunk)
        assert await wire.status() == 413
        await wire.ended()
        async with aiohttp.ClientSession(service.url) as client:
            assert (await post(client, record()))[0] == 201
            items = {"items": [record(str(i) * 50) for i in range(2000)]}
            assert kind(await post(client, items, path="/v1/records/batch"))[:2] == (413, "too-long")


async def test_a_head_that_is_too_long_is_refused(connect: Connect, service: ServeProcess) -> None:
    for head in (
        GET + b"X: " + b"x" * 20_000 + b"\r\n\r\n",
        GET + b"X: y\r\n" * 3000 + b"\r\n",
        b"GET /" + b"x" * 70_000,
    ):
        wire = await connect(service.url)
        await wire.say(head)
        assert await wire.status() in (400, 431)
        await wire.ended()


@pytest.mark.parametrize(
    "text", [b"\x16\x03\x01\x02\x00", b"HELO\r\n\r\n", b"GET / HTTP/9\r\n\r\n", GET + b"A b: c\r\n\r\n"]
)
async def test_what_is_not_http_is_refused_with_a_problem(connect: Connect, service: ServeProcess, text: bytes) -> None:
    wire = await connect(service.url)
    await wire.say(text + b"\r\n\r\n")
    head = await wire.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert b"date:" in head.lower()
    assert json.loads(await wire.reader.read())["type"] == "urn:snk:problem:malformed"
    await wire.ended()


async def test_a_connection_is_kept_for_the_next_requests(connect: Connect, service: ServeProcess) -> None:
    wire = await connect(service.url)
    for _ in range(3):
        await wire.say(GET + b"\r\n")
        head = await wire.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b"connection: close" not in head.lower()
        await wire.reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
    wire.writer.close()


@pytest.fixture
async def hasty(records: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A service with short deadlines and a table whose frame is larger than all buffers."""
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "STALL_SECONDS"):
        monkeypatch.setattr(f"snk.http.api.protocol.{name}", 0.5)
    await records.run(
        "insert into records select i::text || repeat('x', 500), '2026-11-25', 1 from generate_series(1, 60000) i"
    )
    async with in_this_process(records.dsn, connections=3) as url:
        yield url


@pytest.mark.parametrize(
    "start",
    [b"", b"GET /", GET, POST + b"Content-Length: 100\r\n\r\n{", POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n"],
)
async def test_a_client_that_sends_slowly_is_dropped_while_others_go_on(
    connect: Connect, hasty: str, start: bytes
) -> None:
    async def drip(wire: Wire) -> None:
        """A byte now and then keeps nobody alive."""
        await wire.say(start)
        while True:
            await asyncio.sleep(0.1)
            await wire.say(b"x")

    wires = [await connect(hasty) for _ in range(20)]
    dripping = [asyncio.create_task(drip(wire)) for wire in wires]
    async with aiohttp.ClientSession(hasty) as client:
        for _ in range(20):
            async with client.get("/v1/records?limit=1") as answer:
                assert answer.status == 200
    await asyncio.gather(*(wire.ended() for wire in wires))
    for task in dripping:
        task.cancel()
    await asyncio.gather(*dripping, return_exceptions=True)


@pytest.mark.long
async def test_clients_that_do_not_read_are_dropped_and_their_connections_given_back(
    connect: Connect, hasty: str, records: Database
) -> None:
    wires = []
    for _ in range(3):
        wire = await connect(hasty, limit=1024)
        wires.append(wire)
        await wire.say(b"GET /v1/records/frames/2026-11-25T00:00Z HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await wire.status() == 200
    async with aiohttp.ClientSession(hasty) as client:
        async with client.get("/v1/records?limit=1") as answer:
            assert answer.status in (200, 503)

        async def free() -> bool:
            async with client.get("/v1/records?limit=1") as answer:
                return answer.status == 200

        await until(free, "a connection to be given back")

        async def all_free() -> bool:
            return not await records.value(
                "select count(*) from pg_stat_activity where application_name = 'snk serve' and state <> 'idle'"
            )

        await until(all_free, "all connections to be given back")
    for wire in wires:
        await wire.ended()


async def test_one_client_too_many_takes_the_place_of_an_idle_one(connect: Connect, records: Database) -> None:
    with ServeProcess(records.dsn, clients=3) as service:
        await service.until_answering()
        idle = [await connect(service.url) for _ in range(3)]
        for wire in idle:
            await wire.say(GET + b"\r\n")
            assert await wire.status() == 200
        one_more = await connect(service.url)
        await one_more.say(GET + b"\r\n")
        assert await one_more.status() == 200
        one_more.writer.close()
        for wire in idle:
            wire.writer.close()


async def test_clients_beyond_the_limit_are_refused_if_all_are_busy(connect: Connect, records: Database) -> None:
    with ServeProcess(records.dsn, clients=3) as service:
        await service.until_answering()
        busy = [await connect(service.url) for _ in range(3)]
        for wire in busy:
            await wire.say(POST + b"Content-Length: 100\r\n\r\n{")

        async def refused() -> bool:
            wire = await connect(service.url)
            try:
                return await wire.status() == 503
            except (asyncio.IncompleteReadError, ConnectionError):
                return False
            finally:
                wire.writer.close()

        await until(refused, "one more to be refused")
        for wire in busy:
            wire.writer.close()
        await service.until_answering()


@pytest.mark.long
async def test_a_client_that_asks_too_often_is_told_when_to_come_back(records: Database) -> None:
    tokens = [{"name": name, "token": name * 8, "scopes": ["records:read"]} for name in ("alice", "robert")]
    with ServeProcess(records.dsn, auth={"tokens": tokens}, requests_per_second=2) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client:

            async def ask(name: str) -> int:
                async with client.get("/v1/records", headers={"Authorization": f"Bearer {name * 8}"}) as answer:
                    if answer.status == 429:
                        assert int(answer.headers["Retry-After"]) >= 1
                        assert (await problem(answer))[1] == "too-often"
                    return answer.status

            statuses = [await ask("alice") for _ in range(30)]
            assert statuses[0] == 200
            assert 429 in statuses
            assert await ask("robert") == 200
            wrong = [await ask("nobody") for _ in range(30)]
            assert wrong[0] == 401
            assert 429 in wrong

            async def again() -> bool:
                return await ask("alice") == 200

            await until(again, "the client to be let in again")


async def test_a_wrong_method_is_told_all_that_the_path_knows(service: ServeProcess) -> None:
    async with aiohttp.ClientSession(service.url) as client, client.delete("/v1/records") as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET, POST"
