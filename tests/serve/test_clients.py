"""Who may do what, over HTTP."""

import asyncio
import base64
import random

import aiohttp
import pytest

from tests.kit.databases import Database
from tests.kit.serve import Connect, ServeProcess
from tests.serve.test_pages import problem
from tests.serve.test_writing import record

READER, WRITER, WATCHER = "reader-0123456789", "writer-0123456789", "watcher-0123456789"
AUTH = {
    "tokens": [
        {"name": "reader", "token": READER, "scopes": ["records:read"]},
        {"name": "writer", "token": WRITER, "scopes": ["records:write"]},
        {"name": "watcher", "token": WATCHER, "scopes": ["status:read"]},
    ],
    "users": [{"user": "one", "password": "password-of-one", "scopes": ["records:read"]}],
}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.long
async def test_each_scope_opens_its_own_doors_only(records: Database) -> None:
    with ServeProcess(records.dsn, auth=AUTH) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client:
            basic = {"Authorization": "Basic " + base64.b64encode(b"one:password-of-one").decode()}
            reads = ("/v1/records", "/v1/records/frames/2026-11-25T00:00Z")
            for path in (*reads, "/v1/records/digest?from=2026-11-25T00:00:00Z&to=2026-11-26T00:00:00Z"):
                for headers, status in (
                    (bearer(READER), 200),
                    (basic, 200),
                    (bearer(WRITER), 403),
                    (bearer("wrong-0123456789"), 401),
                    ({}, 401),
                ):
                    async with client.get(path, headers=headers) as answer:
                        assert answer.status == status
                        assert ("WWW-Authenticate" in answer.headers) == (status == 401)
            for path in ("/v1/records", "/v1/records/batch"):
                for headers, status in ((bearer(READER), 403), (bearer(WRITER), 400), ({}, 401)):
                    async with client.post(path, json=record(), headers=headers) as answer:
                        assert (await problem(answer))[0] == status
            for path in ("/status", "/metrics"):
                for headers, status in ((bearer(WATCHER), 200), (bearer(READER), 403), ({}, 401)):
                    async with client.get(path, headers=headers) as answer:
                        assert answer.status == status
            async with client.get("/health") as answer:
                assert (answer.status, await answer.json()) == (200, {"status": "ok"})


@pytest.mark.long
async def test_a_thousand_wrong_tokens_are_refused_and_good_ones_go_on(records: Database) -> None:
    chance = random.Random(1)

    def wrong() -> str:
        kinds = (
            f"Bearer {READER[:-1]}",
            f"Bearer {READER}x",
            f"Basic {READER}",
            "Basic " + base64.b64encode(b"one:wrong").decode(),
            "Basic ====",
            f"Digest {READER}",
            READER,
            "Bearer",
            "Bearer " + "x" * chance.randrange(1, 9000),
            "Bearer a.b.c",
            "Bearer eyJhbGciOiJub25lIn0.e30.",
            "Bearer " + "".join(chance.choice("abc.=-_/+ ,") for _ in range(40)),
        )
        return chance.choice(kinds)

    with ServeProcess(records.dsn, auth=AUTH) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client:

            async def ask(headers: dict[str, str]) -> int:
                async with client.get("/v1/records", headers=headers) as answer:
                    return answer.status

            for _ in range(100):
                bad = [ask({"Authorization": wrong()}) for _ in range(10)]
                statuses = await asyncio.gather(*bad, ask(bearer(READER)))
                assert statuses == [*[401] * 10, 200]


async def test_two_authorizations_are_none(connect: Connect, records: Database) -> None:
    with ServeProcess(records.dsn, auth=AUTH) as service:
        await service.until_answering()
        line = f"Authorization: Bearer {READER}\r\n"
        for given, status in ((line, 200), (line * 2, 401), (line + "Authorization: Bearer x\r\n", 401)):
            wire = await connect(service.url)
            await wire.say(f"GET /v1/records HTTP/1.1\r\nHost: localhost\r\n{given}\r\n".encode())
            assert await wire.status() == status
            wire.writer.close()


async def test_keys_of_two_clients_are_not_the_same(records: Database) -> None:
    tokens = [{"name": name, "token": name * 8, "scopes": ["records:write"]} for name in ("alice", "robert")]
    with ServeProcess(records.dsn, auth={"tokens": tokens}) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client:
            for name in ("alice", "robert"):
                headers = {**bearer(name * 8), "Idempotency-Key": "same"}
                async with client.post("/v1/records", json=record(name), headers=headers) as answer:
                    assert (answer.status, await answer.json()) == (201, {"key": name})
    assert await records.rows("select client, key from snk.serve_keys order by 1") == [
        ("token alice", "same"),
        ("token robert", "same"),
    ]


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:80", 200), ("evil.example", 403), ("127.0.0.1.evil.example", 403)],
)
async def test_a_service_without_clients_is_for_this_machine_only(
    connect: Connect, service: ServeProcess, host: str, status: int
) -> None:
    """A web site that has its name point to this machine gets nothing."""
    wire = await connect(service.url)
    await wire.say(f"GET /v1/records HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert await wire.status() == status
    wire.writer.close()
