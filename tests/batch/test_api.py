"""The platform's API on two nodes: messages, looks, what a person does, and who may do it.

The nodes look for what is due once a minute only, so whatever starts sooner does so because of the request.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from snk.batch.platform.tables import TABLES
from snk.db.pool import Pool
from snk.db.server import Server
from snk.pair.servers import EmbeddedPair
from tests.batch.conftest import define
from tests.kit.batch import Api, Consumer, World, serving, told
from tests.kit.databases import DEADLINE_SECONDS, until
from tests.kit.serve import fresh_database

SCOPES = {
    "admin": ["*"],
    "upstream": ["messages:write"],
    "reader": ["runs:read"],
    "operator": ["runs:operate"],
    "monitor": ["status:read"],
    "reporter": ["runs:report"],
    "mine": ["runs:report:mine"],
}
TOKENS = [{"name": name, "token": f"{name:-<20}", "scopes": scopes} for name, scopes in SCOPES.items()]


@dataclass
class Platform:
    """Two nodes, and a consumer that says of each run that it goes on, unless a test decides otherwise."""

    world: World
    pool: Pool
    consumer: Consumer
    urls: tuple[str, str]
    session: aiohttp.ClientSession

    def as_(self, name: str, node: int = 0) -> Api:
        """The API as a client sees it; without a name nobody knows it."""
        return Api(self.urls[node], self.session, f"{name:-<20}" if name else "")

    async def define(self, **tasks: dict[str, Any]) -> None:
        """Make tasks, whose consumer is called once an hour, and groups."""
        given = {"consumers": [self.consumer.url], "interval_seconds": 3600}
        await define(
            self.pool, **{name: each if "tasks" in each else {**given, **each} for name, each in tasks.items()}
        )

    async def called(self, task: str, times: int = 1) -> dict[str, Any]:
        """The last call of a task, when so many came."""

        async def enough() -> bool:
            return len([call for call in self.consumer.calls if call["task"] == task]) >= times

        await until(enough, f"call {times} of {task}")
        return [call for call in self.consumer.calls if call["task"] == task][-1]

    async def running(self, task: str) -> dict[str, Any]:
        """The call of a run that was started just now, as soon as the platform knows that it runs."""
        _, triggered = await self.as_("admin")("POST", f"/v1/tasks/{task}/trigger", {})
        call = await self.called(task)

        async def noted() -> bool:
            return (await self.run(triggered["run"]))["state"] == "RUNNING"

        await until(noted, "the run to run")
        return call

    async def run(self, run: int) -> Any:
        return await self.as_("reader").get(f"/v1/runs/{run}")


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory, servers: EmbeddedPair) -> AsyncIterator[Platform]:
    folder: Path = tmp_path_factory.mktemp("platform")
    async with AsyncExitStack() as stack:
        dsn = stack.enter_context(fresh_database(servers))
        await TABLES.upgrade(Server("database", dsn))
        world = World(folder, dsn)
        stack.callback(world.end)
        world.configure(poll_seconds=60.0, lease_seconds=600.0, auth={"tokens": TOKENS})
        consumer = await stack.enter_async_context(serving(Consumer(lambda call: told(call, "RUNNING"))))
        pool = Pool(dsn, 2, 30.0, "tests")
        stack.push_async_callback(pool.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        for node in "ab":
            world.start(node)
        yield Platform(world, pool, consumer, (await world.url("a"), await world.url("b")), session)


async def test_a_message_sent_three_times_at_once_to_different_nodes_makes_one_run(platform: Platform) -> None:
    waiting = {"message": "trades.ready"}
    await platform.define(trades=waiting, positions=waiting, both={"tasks": ["trades"], "message": "other.ready"})
    sent = {"message": "trades.ready", "payload": {"day": "2026-11-25", "size": 1e23, "nested": [{"ü": None}]}}
    upstreams = [platform.as_("upstream", node) for node in (0, 1, 0)]
    answers = await asyncio.gather(*(each("POST", "/v1/messages", sent, Idempotency_Key="k1") for each in upstreams))
    assert [status for status, _ in answers] == [202, 202, 202]
    for name in ("trades", "positions"):
        mine = [each for _, answer in answers for each in answer["triggered"] if each["name"] == name]
        assert sorted(each["again"] for each in mine) == [False, True, True]
        assert len({(each["outcome"], each["run"]) for each in mine}) == 1
        found = await platform.as_("reader").get(f"/v1/runs?task={name}")
        assert [run["id"] for run in found["runs"]] == [mine[0]["run"]]
        payload = (await platform.called(name))["payload"]  # the database writes 1e23 with all its digits
        assert {**payload, "size": float(payload["size"])} == sent["payload"]
    trigger = (await platform.run(mine[0]["run"]))["audit"][0]
    assert (trigger["who"], trigger["what"], trigger["reason"]) == ("token upstream", "triggered (run)", "message k1")


@pytest.mark.parametrize(
    ("body", "key", "status", "says"),
    [
        ({"message": "spoken.ready", "payload": {"day": 2}}, "used", 422, "the key 'used' was used before"),
        ({"message": "nobody.waits"}, "k", 404, "waits for the message 'nobody.waits'"),
        ({"message": "spoken.ready"}, "", 400, "Idempotency-Key is missing"),
        ({"message": "spoken.ready"}, "é", 400, "Idempotency-Key is not"),
        ({"message": "spoken.ready"}, "calendar 2026-11-25T00:00:00+00:00", 422, "begins as those of the calendar do"),
        ({"message": "spoken.ready", "payload": {"x": "\0"}}, "k", 422, "NUL"),
        ({"message": "spoken.ready", "payload": []}, "k", 422, "payload: "),
        ({"message": "spoken.ready", "more": 1}, "k", 422, "more: there is no such member"),
        ({}, "k", 422, "message: Field required"),
        ([], "k", 422, "send a JSON object"),
    ],
)
async def test_a_message_that_cannot_be_taken_starts_nothing(
    platform: Platform, body: Any, key: str, status: int, says: str
) -> None:
    if not await platform.as_("reader").get("/v1/tasks") or status == 422:
        await platform.define(spoken={"message": "spoken.ready"})
    first = {"message": "spoken.ready", "payload": {"day": 1}}
    await platform.as_("upstream")("POST", "/v1/messages", first, Idempotency_Key="used")
    before = await platform.as_("reader").get("/v1/runs")
    headers = {"Idempotency_Key": key} if key else {}
    found, problem = await platform.as_("upstream")("POST", "/v1/messages", body, **headers)
    assert (found, says in problem["detail"]) == (status, True), problem
    after = await platform.as_("reader").get("/v1/runs")
    assert [run["id"] for run in after["runs"]] == [run["id"] for run in before["runs"]]


async def test_what_a_message_starts_is_called_at_once(platform: Platform) -> None:
    await platform.define(swift={"message": "swift.ready"})
    platform.consumer.says = lambda call: told(call, "COMPLETED" if call["task"] == "swift" else "RUNNING")
    async with asyncio.timeout(DEADLINE_SECONDS):  # by looks once a minute it would take longer
        for number in range(1, 7):
            sent = {"message": "swift.ready"}
            status, _ = await platform.as_("upstream")("POST", "/v1/messages", sent, Idempotency_Key=str(number))
            assert status == 202
            await platform.called("swift", number)


async def test_the_channel_of_the_database_starts_what_waits_for_a_message(platform: Platform) -> None:
    await platform.define(heard={"message": "heard.ready"})

    async def say(text: str) -> None:
        quoted = text.replace("'", "''")
        await platform.world.database.run(f"select pg_notify('snk_batch', '{quoted}')")

    await say('{"message": "heard.ready", "key": "1", "payload": {"day": "today"}}')
    assert (await platform.called("heard"))["payload"] == {"day": "today"}
    for bad in ("no json", '{"message": "heard.ready"}', '{"message": "heard.ready", "key": "1", "payload": [1]}'):
        await say(bad)
    await say('{"message": "nobody.waits", "key": "1"}')

    async def logged() -> bool:
        log = platform.world.log("a")
        return log.count("notification_unusable") == 3 and log.count("notification_refused") == 1

    await until(logged, "the bad ones to be logged")
    # Both nodes heard it, and a connection that is lost is made again.
    (run,) = (await platform.as_("reader").get("/v1/runs?task=heard"))["runs"]
    assert (await platform.run(run["id"]))["audit"][0]["who"] == "channel"
    before = platform.world.log("a").count("channel_listening")
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'snk'"
    await platform.world.database.run(kill + " and datname = current_database()")

    async def again() -> bool:
        return platform.world.log("a").count("channel_listening") > before

    await until(again, "the channel to be heard again")
    await platform.as_("admin")("POST", f"/v1/runs/{run['id']}/cancel", {"reason": "next"})
    await say('{"message": "heard.ready", "key": "2"}')
    await platform.called("heard", 2)


async def test_what_a_command_triggers_is_called_at_once(platform: Platform) -> None:
    await platform.define(byhand={})
    done = await asyncio.to_thread(platform.world.snk, "trigger", "byhand")
    assert done.returncode == 0, done.stderr
    async with asyncio.timeout(DEADLINE_SECONDS):
        await platform.called("byhand")


async def test_a_reader_sees_tasks_runs_nodes_and_the_audit(platform: Platform) -> None:
    await platform.define(seen={"message": "seen.ready", "cron": "0 2 * * *"}, around={"tasks": ["seen"]})
    call = await platform.running("seen")
    _, queued = await platform.as_("admin")("POST", "/v1/tasks/seen/trigger", {"key": "second"})
    reader = platform.as_("reader", 1)
    assert {"seen", "around"} <= {task["name"] for task in (await reader.get("/v1/tasks"))["tasks"]}
    task = await reader.get("/v1/tasks/seen")
    assert (task["kind"], task["message"], task["paused_by"]) == ("task", "seen.ready", None)
    assert task["definition"]["consumers"] == [platform.consumer.url]
    assert task["next_tick"].endswith("02:00:00+00:00")
    assert [run["id"] for run in task["runs"]] == [call["run"], queued["run"]]
    why = await reader.get("/v1/tasks/seen/why")
    assert why["run"] == call["run"]
    assert "waits for its interval" in why["reasons"][0]
    newest = await reader.get("/v1/runs?task=seen&limit=1")
    assert ([run["id"] for run in newest["runs"]], newest["next"]) == ([queued["run"]], queued["run"])
    older = await reader.get(f"/v1/runs?task=seen&limit=10&before={newest['next']}")
    assert ([run["id"] for run in older["runs"]], older["next"]) == ([call["run"]], None)
    running = await reader.get("/v1/runs?task=seen&state=RUNNING")
    assert [run["id"] for run in running["runs"]] == [call["run"]]
    run = await platform.run(call["run"])
    assert (run["attempts"][0]["outcome"], run["audit"][0]["what"]) == ("RUNNING", "triggered (run)")
    audit = await reader.get(f"/v1/audit?subject=run%20{call['run']}&limit=1")
    assert [line["what"] for line in audit["audit"]] == ["called"]
    nodes = (await reader.get("/v1/nodes"))["nodes"]
    assert [(node["name"], node["address"], node["alive"]) for node in nodes] == [
        ("a", platform.urls[0], True),
        ("b", platform.urls[1], True),
    ]


async def test_an_operator_does_what_a_person_may_and_the_audit_names_the_client(platform: Platform) -> None:
    await platform.define(ruled={"overlap": "queue", "files": {"one": {}, "two": {}}})
    operator, reader = platform.as_("operator"), platform.as_("reader")
    assert await operator("POST", "/v1/tasks/ruled/pause", {"reason": "month end"}) == (
        200,
        {"name": "ruled", "paused": True},
    )
    status, first = await operator("POST", "/v1/tasks/ruled/trigger", {"key": "x", "payload": {"a": 1}})
    assert (status, first["outcome"], first["again"]) == (202, "run", False)
    again = await operator("POST", "/v1/tasks/ruled/trigger", {"key": "x", "payload": {"a": 1}})
    assert again == (202, {**first, "again": True})
    why = await reader.get("/v1/tasks/ruled/why")
    assert "token operator has paused it: month end" in why["reasons"][0]
    assert not [call for call in platform.consumer.calls if call["task"] == "ruled"]
    assert (await operator("POST", "/v1/tasks/ruled/resume", {}))[1]["paused"] is False
    run = first["run"]

    async def its_turn() -> bool:
        return (await platform.run(run))["active"]

    await until(its_turn, "the run to be active")
    assert await operator("POST", f"/v1/runs/{run}/rerun", {"reason": "x"}) == (
        409,
        {
            "type": "urn:snk:problem:wrong-state",
            "title": "Conflict",
            "status": 409,
            "detail": (await operator("POST", f"/v1/runs/{run}/rerun", {"reason": "x"}))[1]["detail"],
        },
    )
    assert await operator("POST", f"/v1/runs/{run}/cancel", {"reason": "wrong day"}) == (
        200,
        {"run": run, "state": "CANCELLED"},
    )
    last = (await platform.run(run))["audit"][-1]
    assert (last["who"], last["what"], last["reason"]) == ("token operator", "cancelled", "wrong day")
    assert (await operator("POST", f"/v1/runs/{run}/skip", {"reason": "x"}))[0] == 409
    for path in ("/v1/tasks/nobody/trigger", "/v1/tasks/nobody/resume"):
        status, problem = await operator("POST", path, {})
        assert (status, problem["detail"]) == (404, "there is no task or group 'nobody'")
    status, problem = await operator("POST", "/v1/runs/999999/cancel", {"reason": "x"})
    assert (status, problem["detail"]) == (404, "there is no run 999999")
    status, problem = await operator("POST", f"/v1/runs/{run}/cancel", {"reason": ""})
    assert (status, problem["field"]) == (422, "reason")


ROUTES = [
    ("GET", "/v1/tasks", "reader"),
    ("GET", "/v1/tasks/any", "reader"),
    ("GET", "/v1/tasks/any/why", "reader"),
    ("GET", "/v1/runs", "reader"),
    ("GET", "/v1/runs/999999", "reader"),
    ("GET", "/v1/audit", "reader"),
    ("GET", "/v1/nodes", "reader"),
    ("GET", "/v1/tasks/any/backfill?from=2026-01-01&to=2026-01-02", "reader"),
    ("GET", "/v1/alerts", "reader"),
    ("POST", "/v1/messages", "upstream"),
    ("POST", "/v1/tasks/any/trigger", "operator"),
    ("POST", "/v1/tasks/any/pause", "operator"),
    ("POST", "/v1/tasks/any/resume", "operator"),
    ("POST", "/v1/tasks/any/backfill", "operator"),
    ("POST", "/v1/alerts/999999/acknowledge", "operator"),
    ("POST", "/v1/runs/999999/cancel", "operator"),
    ("POST", "/v1/runs/999999/skip", "operator"),
    ("POST", "/v1/runs/999999/rerun", "operator"),
    ("POST", "/v1/runs/999999/callback", "reporter"),
    ("GET", "/status", "monitor"),
]


async def test_each_route_wants_its_scope(platform: Platform) -> None:
    described = (await platform.as_("admin").get("/openapi.json"))["paths"]
    count = sum(len(methods) for methods in described.values())
    assert count == len(ROUTES) - 1, "a route has no line in this test, but for /status, which is not described"
    for method, path, may in ROUTES:
        body: Any = {} if method == "POST" else None
        for client in SCOPES:
            status, problem = await platform.as_(client)(method, path, body)
            allowed = client in (may, "admin") or (may, client) == ("reporter", "mine")
            assert (status == 403) != allowed, (method, path, client, problem)
            assert status < 500, problem
        status, problem = await platform.as_("")(method, path, body)
        assert (status, problem["type"]) == (401, "urn:snk:problem:unknown-client")


async def test_a_node_tells_how_it_and_the_platform_are(platform: Platform) -> None:
    await platform.define(counted={})
    await platform.running("counted")
    status = await platform.as_("monitor").get("/status")
    assert (status["node"], status["platform"]["nodes"]) == ("a", 2)
    assert status["platform"]["runs"]["RUNNING"] >= 1
    assert status["platform"]["due"] == 0
    headers = {"Authorization": f"Bearer {'monitor':-<20}"}
    async with platform.session.get(f"{platform.urls[0]}/metrics", headers=headers) as answer:
        lines = (await answer.text()).splitlines()
    running = status["platform"]["runs"]["RUNNING"]
    assert {f'snk_batch_runs{{state="RUNNING"}} {running:.1f}', "snk_batch_nodes 2.0"} <= set(lines)
    assert any(line.startswith('snk_batch_answers_total{request="POST /v1/tasks/{name}/trigger"') for line in lines)
    async with platform.session.head(f"{platform.urls[0]}/health") as answer:
        assert answer.status == 200
