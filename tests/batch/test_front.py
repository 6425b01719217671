"""How a node is started, reached and trusted: ports, tokens in and out, keys that change, a database that is away."""

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
import schemathesis
from schemathesis.core.result import Ok

from snk.batch.platform.census import census
from snk.batch.platform.proofs import Proofs
from snk.batch.platform.tables import TABLES
from snk.batch.settings import load_settings
from snk.db.pool import Pool
from snk.db.server import Server
from snk.errors import SettingsError
from snk.http.auth.authority import Authority
from snk.http.auth.credentials import AuthTable
from snk.http.auth.settings import AuthSettings, IssuerTable
from snk.pair.servers import EmbeddedPair
from tests.batch.conftest import define
from tests.batch.test_platform import consumer, ended, until_called
from tests.kit.batch import Api, Consumer, World, told
from tests.kit.databases import until
from tests.kit.openapi import check

__all__ = ["consumer"]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.fixture
async def pool(world: World) -> AsyncIterator[Pool]:
    made = Pool(world.dsn, 2, 30.0, "tests")
    yield made
    await made.close()


@pytest.mark.long
async def test_the_platform_signs_for_its_clients_and_for_consumers_and_keys_change_without_a_restart(
    world: World, consumer: Consumer, pool: Pool, session: aiohttp.ClientSession
) -> None:
    keys = world.folder / "keys"
    world.configure(auth={"keys": str(keys)})
    refused = world.snk("platform")
    assert (refused.returncode, "`snk batch keys rotate`" in refused.stderr) == (2, True), refused.stderr
    first = json.loads(world.snk("keys", "rotate", "--json").stdout)["kid"]
    await define(pool, prices={"consumers": [consumer.url], "message": "prices.ready", "interval_seconds": 0.2})
    world.start("a")
    url = await world.url("a")
    old = world.snk("token", "--scope", "messages:write", "--subject", "upstream").stdout.strip()
    second = json.loads(world.snk("keys", "rotate", "--json").stdout)["kid"]
    new = world.snk("token", "--scope", "runs:read").stdout.strip()
    listed = json.loads(world.snk("keys", "list", "--json").stdout)
    assert [(each["kid"], each["signs"]) for each in listed] == [(second, True), (first, False)]
    sent = {"message": "prices.ready"}
    status, answer = await Api(url, session, old)("POST", "/v1/messages", sent, Idempotency_Key="1")
    assert status == 202, answer
    assert (await Api(url, session, new)("POST", "/v1/messages", sent, Idempotency_Key="1"))[0] == 403
    (run,) = await ended(world, 1)
    shown = await Api(url, session, new).get(f"/v1/runs/{run['id']}")
    assert shown["audit"][0]["who"] == "snk-batch/upstream"
    issuer = IssuerTable(issuer="snk-batch", algorithm="ES256", jwks=str(keys / "jwks.json"))
    trusting = Authority(AuthSettings(audience="snk-consumer", issuers=(issuer,)))
    client = await trusting.client(consumer.authorizations[0])
    assert (client.name, client.scopes) == ("snk-batch/platform", frozenset({"runs:work"}))


async def test_a_task_whose_credentials_are_missing_is_not_called_and_says_so(
    world: World, consumer: Consumer, pool: Pool, session: aiohttp.ClientSession
) -> None:
    world.configure(credentials={"default": {"bearer": "ours"}, "theirs": {"user": "me", "password": "secret"}})
    given = {"consumers": [consumer.url], "retry_first_ms": 60_000, "retry_most_ms": 60_000}
    await define(pool, lost={**given, "auth": "elsewhere"}, named={**given, "auth": "theirs"}, plain=given)
    world.start("a")
    api = Api(await world.url("a"), session)
    assert (await api("POST", "/v1/tasks/lost/trigger", {}))[0] == 202

    async def failed() -> bool:
        return "there are no credentials 'elsewhere'" in str(await api.get("/v1/tasks/lost/why"))

    await until(failed, "the reason")
    assert "there are no credentials 'elsewhere'" in (await api.get("/v1/runs/1"))["attempts"][0]["outcome"]
    assert consumer.calls == []
    for name, header in (("plain", "Bearer ours"), ("named", "Basic bWU6c2VjcmV0")):
        await api("POST", f"/v1/tasks/{name}/trigger", {})
        await until_called(consumer, len(consumer.authorizations) + 1)
        assert consumer.authorizations[-1] == header


async def test_the_own_credentials_are_those_named_default_then_signed_tokens_then_none(world: World) -> None:
    assert load_settings(world.folder / "snk.toml").own == AuthTable()
    world.configure(auth={"keys": "/keys"}, consumer_audience="other")
    own = load_settings(world.folder / "snk.toml").own
    assert (own.jwt_key, own.issuer, own.audience, own.scope) == (
        "/keys/signing.json",
        "snk-batch",
        "other",
        "runs:work",
    )
    world.configure(auth={"keys": "/keys"}, credentials={"default": {"bearer": "ours"}})
    found = load_settings(world.folder / "snk.toml")
    assert Proofs(found.credentials, found.own).header("") == "Bearer ours"
    bad = Proofs({"bad": AuthTable(jwt_key="/nowhere", issuer="a", audience="b")}, AuthTable())
    with pytest.raises(SettingsError, match=r"batch\.credentials\.bad: jwt_key is '/nowhere', which cannot be read"):
        bad.check()


async def test_without_clients_only_this_machine_is_served(world: World) -> None:
    world.configure(host="0.0.0.0")
    done = world.snk("platform", "--port", "0")
    assert done.returncode == 2
    assert "batch.host is '0.0.0.0', which other machines can reach. Name clients in [batch.auth]" in done.stderr


@pytest.mark.long
async def test_a_lost_report_and_a_lost_database_are_made_up_for(
    world: World, consumer: Consumer, session: aiohttp.ClientSession, own_servers: EmbeddedPair
) -> None:
    world.dsn = own_servers.first.dsn
    world.configure()
    await TABLES.upgrade(Server("database", world.dsn))
    pool = Pool(world.dsn, 1, 30.0, "tests")
    await define(pool, prices={"consumers": [consumer.url], "message": "prices.ready", "interval_seconds": 0.2})
    await pool.close()
    own_servers.first.stop()
    world.start("a")

    async def waits() -> bool:
        return "the node has not begun" in world.log("a")

    await until(waits, "the node to wait for its database")
    own_servers.first.start()
    api = Api(await world.url("a"), session)
    # The first report is lost: the consumer has finished its work, and is asked again.
    consumer.says = lambda call: 503 if call["fence"] == 1 else told(call)
    sent = {"message": "prices.ready"}
    assert (await api("POST", "/v1/messages", sent, Idempotency_Key="1"))[0] == 202
    (run,) = await ended(world, 1)
    assert (run["state"], run["calls"]) == ("COMPLETED", 2)
    own_servers.first.stop()
    for method, path, body in (("GET", "/v1/runs", None), ("POST", "/v1/messages", sent), ("GET", "/status", None)):
        async with session.request(method, api.url + path, json=body, headers={"Idempotency-Key": "2"}) as answer:
            assert (answer.status, answer.content_type) == (503, "application/problem+json")
            assert int(answer.headers["Retry-After"]) >= 1

    async def unhealthy() -> bool:  # it is asked for once a second at most
        async with session.get(f"{api.url}/health") as answer:
            return (answer.status, await answer.json()) == (503, {"status": "not healthy"})

    await until(unhealthy, "the node to say that its database is away")
    own_servers.first.start()

    async def back() -> bool:
        return (await api("POST", "/v1/messages", sent, Idempotency_Key="2"))[0] == 202

    await until(back, "the node to recover")
    assert [run["state"] for run in await ended(world, 2)] == ["COMPLETED", "COMPLETED"]


@pytest.mark.long
@pytest.mark.parametrize("examples", [4, pytest.param(40, marks=pytest.mark.full)])
async def test_it_does_what_it_describes(world: World, pool: Pool, examples: int) -> None:
    """Requests that the description allows, and others, are answered as it says; none is answered with 500."""
    await define(pool, a={"message": "0"}, b={"tasks": ["a"]})
    world.start("a")
    url = await world.url("a")
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = list(schema.get_all_operations())
    assert len(operations) == 19
    for found in operations:
        assert isinstance(found, Ok), found
        operation = found.ok()
        modes = [schemathesis.GenerationMode.POSITIVE]
        if operation.path not in ("/v1/tasks", "/v1/nodes"):  # nothing can be wrong of a request without parameters
            modes.append(schemathesis.GenerationMode.NEGATIVE)
        for mode in modes:
            check(operation, mode, examples)
    assert "Traceback" not in world.log("a")


async def test_a_page_of_status_reads_no_run_that_has_ended(world: World, pool: Pool) -> None:
    """However many there are: the plan of every statement of it uses an index of live runs."""
    await world.database.run(
        "insert into snk_batch.run (task, key, state, payload, ended_at)"
        " select 'old', n::text, 'COMPLETED', '{}', now() from generate_series(1, 20000) n",
        "analyze snk_batch.run",
        "select pg_stat_reset()",
    )
    async with pool.connection("snapshot") as connection, connection.begin():
        found = await census(connection)
        scanned = await connection.exec_driver_sql(
            "select seq_tup_read from pg_stat_xact_all_tables where schemaname = 'snk_batch' and relname = 'run'"
        )
        assert scanned.scalar_one() == 0
    assert (found.runs, found.due, found.oldest_due_seconds) == ({"RUNNING": 0, "WAITING": 0}, 0, 0.0)
