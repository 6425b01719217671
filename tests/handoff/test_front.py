"""The front: what it answers, what it logs, and what the backends get."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from snk.handoff.codecs.hustdb import METHODS, Hustdb, HustdbWrite
from snk.handoff.front import Front, Options, SyncServer
from snk.handoff.log import Log
from snk.handoff.record import Record
from snk.http.service import Address, listening
from snk.pair.servers import EmbeddedPair
from tests.kit.backends import Asker, asking, running
from tests.kit.disk import Disk
from tests.kit.handoff import World, started
from tests.kit.scripted import Backend, Got

NOBODY = "127.0.0.1:1"
PATIENT = Options(timeout_seconds=60.0)
HASTY = Options(timeout_seconds=0.2)
HSET = "/hustdb/hset?key=k%00%FF&ver=7&ttl=600&tb=t"


class Pair:
    """A front and its two backends, of which any may be down."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.backends = (Backend(), Backend())
        self.ask: Asker
        self.codec = Hustdb()

    @property
    def names(self) -> tuple[str, str]:
        one, other = self.backends
        return one.name, other.name

    def logged(self) -> dict[str, list[HustdbWrite]]:
        """What is in the logs, by backend."""
        found: dict[str, list[HustdbWrite]] = {}
        for path in sorted(self.logs.glob("*/*.log")):
            found.setdefault(path.parent.name, []).extend(map(self.codec.decode, path.read_bytes().splitlines()))
        return found


@asynccontextmanager
async def front(
    logs: Path, backends: tuple[str, ...], options: Options = PATIENT, limit: int = 0, sync: str = NOBODY
) -> AsyncIterator[Asker]:
    """A front in this process."""
    missed = Log(logs, Hustdb(options.key_form), limit)
    with listening(Address("127.0.0.1", 0), guarded=True) as bound:
        serving = Front(backends, missed, SyncServer(sync, "me", "secret"), options)
        await serving.start(bound)
        try:
            async with asking(f"127.0.0.1:{bound.getsockname()[1]}") as ask:
                yield ask
        finally:
            await serving.stop()


@asynccontextmanager
async def pair(logs: Path, options: Options = PATIENT, limit: int = 0) -> AsyncIterator[Pair]:
    """A front with two backends that take everything."""
    made = Pair(logs)
    made.codec = Hustdb(options.key_form)
    for each in made.backends:
        await each.start()
        each.says = says(200, Version="7")
    try:
        async with front(logs, made.names, options, limit) as made.ask:
            yield made
    finally:
        for each in made.backends:
            await each.stop()


def says(status: int, **headers: str) -> Callable[[Got], web.Response]:
    return lambda _: web.Response(status=status, headers=headers)


async def never(_: Got) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_write_goes_to_all_backends(tmp_path: Path) -> None:
    async with pair(tmp_path) as made:
        answer = await made.ask.post(HSET, b"v\x00")
        assert (answer.status, answer.version, answer.headers.get("Sync"), made.logged()) == (200, "7", None, {})
        for each in made.backends:
            target = "/hustdb/hset?key=k%00%FF&ver=7&ttl=600&tb=t&is_dup=true"
            assert [(got.method, got.target, got.body) for got in each.got] == [("POST", target, b"v\x00")]


@pytest.mark.parametrize("number", METHODS)
async def test_the_line_of_a_missed_write_stands_for_the_same_request(tmp_path: Path, number: int) -> None:
    async with pair(tmp_path) as made:
        up, down = made.backends
        await down.stop()
        record = Record(number, 7, b"k \xff", 0, b"t" if "tb" in METHODS[number].arguments else b"", value=b"v\n")
        sent = HustdbWrite(record._replace(score=5, opt=-1) if number == 7 else record).request(0)
        assert sent is not None
        answer = await made.ask.send(sent.method, sent.target.removesuffix("&is_dup=true"), sent.body, {})
        assert (answer.status, answer.version, answer.headers["Sync"]) == (200, "7", down.name)
        (write,) = made.logged()[down.name]
        assert list(made.logged()) == [down.name]
        assert write.request(0) == sent
        assert [(got.method, got.target, got.body) for got in up.got] == [(sent.method, sent.target, sent.body)]


async def test_the_answer_comes_when_the_line_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    async with pair(tmp_path) as made:
        await made.backends[1].stop()
        disk.may_go.clear()
        asked = asyncio.create_task(made.ask.post(HSET, b"v"))
        await asyncio.to_thread(disk.entered.acquire)
        assert not asked.done()
        disk.may_go.set()
        assert (await asked).status == 200
        assert disk.forced[-1].endswith(".log")


async def test_a_time_to_live_is_logged_as_the_time_when_it_ends(tmp_path: Path) -> None:
    async with pair(tmp_path) as made:
        await made.backends[1].stop()
        await made.ask.post("/hustdb/put?key=k&ver=1&ttl=1000000000", b"v")
        await made.ask.post("/hustdb/put?key=k&ver=1", b"v")
        first, second = made.logged()[made.names[1]]
        assert (first.record.ttl > 2_700_000_000, second.record.ttl) == (True, 0)


@pytest.mark.parametrize(("form", "key"), [("raw", b"a ~"), ("wire", b"a%20%7E")])
async def test_keys_are_logged_as_the_settings_say(tmp_path: Path, form: Any, key: bytes) -> None:
    async with pair(tmp_path, replace(PATIENT, key_form=form)) as made:
        await made.backends[1].stop()
        await made.ask.post("/hustdb/put?key=a%20~&ver=1", b"v")
        await made.ask.post("/hustdb/sadd?ver=1&tb=t", b"a ~")
        put, sadd = made.logged()[made.names[1]]
        assert (put.record.key, sadd.record.key) == (key, b"a ~")
        assert made.backends[0].targets[0] == "/hustdb/put?key=a%20%7E&ver=1&is_dup=true"


@pytest.mark.parametrize(
    ("verb", "target", "body", "status"),
    [
        ("POST", "/hustdb/put?key=k", b"v", 404),
        ("POST", "/hustdb/put?ver=1", b"v", 404),
        ("POST", "/hustdb/put?key=k&ver=1", b"", 404),
        ("GET", "/hustdb/put?key=k&ver=1", b"", 405),
        ("POST", "/hustdb/del?key=k&ver=1", b"v", 405),
        ("POST", "/hustdb/sadd?ver=1&tb=a-b", b"v", 400),
        ("GET", "/hustdb/get?key=k", b"", 404),
        ("POST", "/hustdb/put?key=k&ver=1", b"v" * 1001, 413),
    ],
)
async def test_what_no_backend_would_take_goes_nowhere(
    tmp_path: Path, verb: str, target: str, body: bytes, status: int
) -> None:
    async with pair(tmp_path, replace(PATIENT, most_body=1000)) as made:
        assert (await made.ask.send(verb, target, body, {})).status == status
        assert (made.backends[0].got, made.backends[1].got, made.logged()) == ([], [], {})


async def test_without_any_backend_nothing_is_written(tmp_path: Path) -> None:
    async with pair(tmp_path) as made:
        for each in made.backends:
            await each.stop()
        answer = await made.ask.post(HSET, b"v")
        assert (answer.status, answer.body, made.logged()) == (502, b"not written: no backend took it\n", {})


@pytest.mark.parametrize("status", [400, 412])
async def test_a_refusal_of_all_who_answer_is_passed_on(tmp_path: Path, status: int) -> None:
    async with pair(tmp_path) as made:
        for each in made.backends:
            each.says = says(status)
        assert (await made.ask.post(HSET, b"v")).status == status
        await made.backends[1].stop()
        assert (await made.ask.post(HSET, b"v")).status == status
        assert made.logged() == {}


async def test_a_refusal_beside_another_answer_is_no_refusal(tmp_path: Path) -> None:
    async with pair(tmp_path) as made:
        made.backends[0].says, made.backends[1].says = says(400), says(401)
        assert ((await made.ask.post(HSET, b"v")).status, made.logged()) == (502, {})


@pytest.mark.parametrize("status", [400, 412, 401, 403, 404, 405, 429, 500, 503])
async def test_a_backend_that_did_not_take_a_write_gets_it_from_its_log(tmp_path: Path, status: int) -> None:
    async with pair(tmp_path) as made:
        made.backends[0].says = says(status)
        answer = await made.ask.post(HSET, b"v")
        assert (answer.status, answer.version, answer.headers["Sync"]) == (200, "7", made.names[0])
        assert [len(each) for each in made.logged().values()] == [1]


async def test_a_removal_of_what_is_not_there_is_done(tmp_path: Path) -> None:
    async with pair(tmp_path) as made:
        made.backends[0].says, made.backends[1].says = says(404, Version="9", VerError="true"), says(412)
        answer = await made.ask.get("/hustdb/hdel?key=k&ver=7&tb=t")
        assert (answer.status, answer.version, answer.stale, made.logged()) == (200, "9", True, {})


async def test_a_write_that_may_have_arrived_somewhere_is_logged_for_all(tmp_path: Path) -> None:
    async with pair(tmp_path, HASTY) as made:
        one, other = made.backends
        await other.stop()
        for lost in (never, lambda _: None, says(500)):
            one.says = lost
            answer = await made.ask.post(HSET, b"v")
            assert (answer.status, answer.body) == (502, b"perhaps written; if so, it will be everywhere\n")
        assert {name: len(writes) for name, writes in made.logged().items()} == dict.fromkeys(made.names, 3)
        assert len(one.got) == 4, "after a cut on a connection, once more"


async def test_a_refusal_beside_an_unknown_outcome_is_unknown(tmp_path: Path) -> None:
    async with pair(tmp_path, HASTY) as made:
        made.backends[0].says, made.backends[1].says = says(412), never
        assert (await made.ask.post(HSET, b"v")).status == 502
        assert set(made.logged()) == set(made.names)


async def test_a_backend_that_keeps_failing_is_left_alone(tmp_path: Path) -> None:
    async with pair(tmp_path, replace(PATIENT, skip_seconds=1e6)) as made:
        failing = made.backends[1]
        failing.says = says(429)
        for _ in range(5):
            assert (await made.ask.post(HSET, b"v")).headers["Sync"] == failing.name
        assert (len(failing.got), len(made.logged()[failing.name])) == (3, 5)


async def test_a_backend_that_is_back_is_asked_again(tmp_path: Path) -> None:
    async with pair(tmp_path, replace(PATIENT, skip_seconds=0.0)) as made:
        failing = made.backends[1]
        await failing.stop()
        for _ in range(4):
            assert (await made.ask.post(HSET, b"v")).headers["Sync"] == failing.name
        await failing.start()
        assert "Sync" not in (await made.ask.post(HSET, b"v")).headers
        assert len(made.logged()[failing.name]) == 4


async def test_a_write_that_cannot_be_logged_is_no_success(tmp_path: Path) -> None:
    async with pair(tmp_path, HASTY, limit=10) as made:
        one, other = made.backends
        await other.stop()
        answer = await made.ask.post(HSET, b"v")
        assert answer.status == 503
        assert b"written, but not everywhere: the log cannot be written" in answer.body
        one.says = never
        answer = await made.ask.post(HSET, b"v")
        assert (answer.status, answer.body.startswith(b"perhaps written, and perhaps not everywhere")) == (503, True)
    async with pair(tmp_path / "unmounted") as made:
        await made.backends[1].stop()
        assert (await made.ask.post(HSET, b"v")).status == 503


async def test_backends_get_the_password(tmp_path: Path) -> None:
    async with pair(tmp_path, replace(PATIENT, authorization="user:secret")) as made:
        await made.ask.post(HSET, b"v", Authorization="Basic other")
        assert [got.authorization for each in made.backends for got in each.got] == ["Basic dXNlcjpzZWNyZXQ="] * 2


async def test_the_front_tells_of_itself_and_of_the_sync_server(tmp_path: Path, backend: Backend) -> None:
    told = json.dumps({"total_status": {}, "status": {str(number): {} for number in range(100)}}, indent=4)
    backend.says = lambda _: web.Response(text=told, content_type="application/json")
    async with front(tmp_path, (NOBODY, NOBODY), sync=backend.name) as ask:
        assert (await ask.get("/status.html")).body == b"ok\n"
        alive = await ask.get("/sync_alive")
        assert (alive.status, alive.body, alive.headers["Content-Type"].partition(";")[0]) == (
            200,
            b"ok\n",
            "text/plain",
        )
        status = await ask.get("/sync_status")
        assert (status.status, status.body, status.headers["Content-Type"]) == (200, told.encode(), "application/json")
        assert [(got.target, got.authorization) for got in backend.got] == [
            ("/sync_status?backend_count=2", "Basic bWU6c2VjcmV0")
        ]
        backend.says = says(401)
        assert (await ask.get("/sync_status")).status == 404
        backend.alive = False
        assert (await ask.get("/sync_alive")).status == 404
        await backend.stop()
        assert [(await ask.get(path)).status for path in ("/sync_alive", "/sync_status")] == [404, 404]


async def test_what_one_backend_missed_is_replayed_until_both_are_equal(servers: EmbeddedPair, world: World) -> None:
    async with running(servers) as one, running(servers) as other:
        port = int(other.address.rpartition(":")[2])
        async with front(world.logs, (one.address, other.address), replace(PATIENT, skip_seconds=0.0)) as ask:
            for number in range(30):
                if number == 10:
                    await other.stop()
                for target in ("hset?key=k{0}", "hset?key=same", "zadd?score={0}&opt=0"):
                    path = f"/hustdb/{target.format(number)}&ver={number + 1}&tb=t{target[0]}"
                    assert (await ask.post(path, b"m%d" % number)).status == 200
                assert (await ask.get(f"/hustdb/hdel?key=k{number // 2}&ver={number + 50}&tb=th")).status == 200
            assert await one.digest() != await other.digest()
            await other.start(port)
            assert (await ask.get("/hustdb/hdel?key=k25&ver=99&tb=th")).headers.get("Sync") is None
            assert await world.drained()
        assert await one.digest() == await other.digest()
        assert world.dead() == []


def config(world: World, **front: Any) -> Path:
    """A file of settings with a table of the front."""
    path = world.config()
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in front.items())
    path.write_text(f"{path.read_text()}[handoff.front]\nport = 0\n{lines}")
    return path


async def test_the_command_serves_until_it_is_told_to_stop(world: World, backend: Backend) -> None:
    process = started(config(world, backends=[backend.name, NOBODY]), "front")
    assert process.stderr
    words = dict(word.split("=") for word in process.stderr.readline().decode().split() if "=" in word)
    async with asking(f"{words['host']}:{words['port']}") as ask:
        assert (await ask.post(HSET, b"v")).headers["Sync"] == NOBODY
    process.send_signal(signal.SIGTERM)
    (last,) = process.communicate()[1].splitlines()
    assert (b"front_stopped" in last, process.returncode) == (True, 0)
    assert [path.parent.name for path in world.logs.glob("*/*.log")] == [NOBODY]


@pytest.mark.parametrize(
    ("backends", "why"),
    [
        ([], "Write at least two"),
        (["a:1"], "Write at least two"),
        (["a:1", "a:1"], "Write at least two"),
        (["a:1", "b"], "'b', which is not a host and a port"),
    ],
)
def test_the_command_says_what_is_wrong(world: World, backends: list[str], why: str) -> None:
    process = started(config(world, backends=backends), "front")
    assert why in process.communicate()[1].decode()
    assert process.returncode == 2


def test_the_command_needs_logs_that_it_can_write(world: World) -> None:
    path = config(world, backends=["a:1", "b:2"])
    world.logs.rmdir()
    process = started(path, "front")
    assert "which is no writable folder" in process.communicate()[1].decode()
    assert process.returncode == 2


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_backend_that_dies_between_a_write_and_its_answer_may_have_it(tmp_path: Path, method: str) -> None:
    """Its kept connection breaks, and a second attempt is refused: the write goes into the logs of all."""
    taken: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            taken.append(head.split()[1] + await reader.readexactly(1 if method == "POST" else 0))
            if len(taken) == 2:
                server.close()
                writer.transport.abort()
                return
            writer.write(b"HTTP/1.1 200 OK\r\nVersion: 1\r\nContent-Length: 0\r\n\r\n")

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    name = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with front(tmp_path, (name, "127.0.0.1:1"), PATIENT) as ask:

        async def sent(ver: int) -> int:
            target = f"/hustdb/{'hset' if method == 'POST' else 'hdel'}?key=k&ver={ver}&tb=t"
            return (await (ask.post(target, b"v") if method == "POST" else ask.get(target))).status

        assert (await sent(7), await sent(8)) == (200, 502)
    assert len(taken) == 2
    logged = {path.parent.name: len(path.read_bytes().splitlines()) for path in tmp_path.glob("*/*.log")}
    assert logged == {name: 1, "127.0.0.1:1": 2}
