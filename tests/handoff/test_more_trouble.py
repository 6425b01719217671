"""Clocks that jump, connections that died while nothing was sent, logs of JSON, limits, and memory."""

import asyncio
import json
import time
from base64 import b64encode

import pytest
from aiohttp import web

from snk.handoff.codecs.jsonl import Jsonl
from snk.handoff.outcome import HTTP
from snk.handoff.record import Record, packed
from snk.handoff.status import Limits, Watcher
from tests.kit.handoff import HEAD, NEXT, World, backend_of, line, lines, until
from tests.kit.scripted import Backend

DAY = 86_400


@pytest.mark.parametrize("jump", [DAY, -DAY])
async def test_a_clock_that_jumps_silences_nothing(
    world: World, backend: Backend, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    """Only a time to live is judged by the wall clock, when its line is sent."""
    world.write(backend.name, lines(range(10)))
    real = time.time
    now = int(real())
    async with world.running() as server:
        known = backend_of(server, backend.name)
        await until(lambda: known.counts.synced == 10, "the lines before")
        monkeypatch.setattr(time, "time", lambda: real() + jump)
        backend.says = lambda _: web.Response(status=503 if len(backend.got) < 20 else 200)
        record = Record(1, 1, b"short", now + DAY // 2, value=b"v")
        world.write(backend.name, lines(range(10, 20)) + HEAD + b64encode(packed(record)) + b"\n", NEXT)
        await until(lambda: known.pending == 0 and known.counts.synced + known.counts.dead == 21, "the lines after")
        assert known.counts.expired == (jump > 0)


async def test_a_connection_that_died_while_it_was_kept_is_replaced(world: World, backend: Backend) -> None:
    async with world.running() as server:
        for number in range(5):
            # A log of its own each: one whose minute is over is released with its last line.
            world.write(backend.name, line(str(number)), f"2023-11-14-22-{20 + number}.log")
            await until(lambda: len(set(backend.targets)) == number + 1, "the line")  # noqa: B023
            await backend.stop()
            await backend.start()
        known = backend_of(server, backend.name)
        await until(lambda: known.counts.synced == 5, "all lines")
        assert known.counts.dead == 0


async def test_logs_of_json_are_sent_as_they_say(world: World, backend: Backend) -> None:
    world.change(codec=Jsonl(), rules=HTTP)
    backend.says = lambda got: web.Response(status=201 if got.method == "PUT" else 410)
    told = [
        {"method": "PUT", "path": "/orders/7", "query": {"a": "b c"}, "body": {"x": 1}},
        {"method": "DELETE", "path": "/orders/8"},
        {"method": "POST", "path": "/orders", "body_base64": "AP8="},
        {"path": "orders"},
    ]
    world.write(backend.name, b"".join(json.dumps(each).encode() + b"\n" for each in told))
    assert await world.drained()
    assert sorted((got.method, got.target, got.body) for got in backend.got) == [
        ("DELETE", "/orders/8", b""),
        ("POST", "/orders", b"\x00\xff"),
        ("PUT", "/orders/7?a=b+c", b'{"x":1}'),
    ]
    assert [reason.partition(" that")[0] for _, _, reason in world.dead()] == [
        "the backend answers 410 ''",
        "the path 'orders' is not one",
    ]


async def test_a_limit_that_is_reached_is_told_and_the_oldest_are_kept(world: World, backend: Backend) -> None:
    await backend.stop()
    log = world.write(backend.name, lines(range(10)))
    async with world.running() as server:
        await until(lambda: backend_of(server, backend.name).pending == 10, "the lines are counted")
        troubles = Watcher(server, Limits(100, 60)).status().troubles
        assert any("bytes wait, and handoff.limit_bytes is 100" in each for each in troubles)
        assert any("handoff.limit_age_seconds is 60" in each for each in troubles)
        assert not [each for each in Watcher(server, Limits()).status().troubles if "limit" in each]
    assert log.exists()


@pytest.mark.long
async def test_however_many_lines_wait_few_are_in_memory(world: World, backend: Backend) -> None:
    blocked = asyncio.Event()

    async def never(_: object) -> web.Response:
        await blocked.wait()
        return web.Response()

    backend.says = never
    for minute in range(20):
        world.write(backend.name, lines(range(minute * 1000, minute * 1000 + 1000)), f"2023-11-14-22-{minute:02}.log")
    async with world.running() as server:
        known = backend_of(server, backend.name)
        await until(lambda: backend.under_way == 4 and known.pending == 20_000, "it is sending")
        await asyncio.sleep(0.3)
        assert known.counts.processed < 10_000
        blocked.set()
        await until(lambda: known.counts.synced == 20_000, "all lines")


async def test_a_line_that_comes_as_its_log_is_released_is_no_torn_one(world: World, backend: Backend) -> None:
    log = world.write(backend.name, line("a"))
    world.change(scan_seconds=3600.0, release_seconds=3600.0)
    async with world.running() as server:
        lane = server.lanes[backend.name]
        await until(lambda: lane.backend.counts.synced == 1, "the line")
        lane.release.settle_seconds = 0.0
        file = lane.backend.logs[log.name]
        with log.open("ab") as grown:
            grown.write(line("b"))
        assert file.rest() is None
        await until(lambda: lane.backend.counts.synced == 2, "the line that came late")
    assert not world.dead()


async def test_what_follows_a_long_line_is_sent_also_after_a_restart(world: World, backend: Backend) -> None:
    """The long line is settled, and lines behind it are not."""
    backend.says = lambda got: web.Response(status=503 if "key=later" in got.target else 200)
    world.change(tries=10**6)
    world.write(backend.name, line("huge", value=b"x" * 400_000) + line("later") + line("later", 2))
    async with world.running() as server:
        await until(lambda: backend_of(server, backend.name).counts.synced == 1, "the long line")
    backend.says = lambda _: web.Response()
    backend.got.clear()
    assert await world.drained()
    assert [target.partition("ver=")[2][0] for target in backend.targets] == ["1", "2"]
    assert not world.dead()


async def test_a_record_that_breaks_the_code_stops_no_other_backend(world: World, backend: Backend) -> None:
    world.write(backend.name, HEAD + b64encode(packed(Record(1, 1, b"k", tb=b"\xff", value=b"v"))) + b"\n" + line("b"))
    world.write("a..b:80", line("never"))
    assert await world.drained()
    assert len(backend.got) == 2


async def test_a_log_that_is_renamed_before_it_was_read_is_not_lost(world: World, backend: Backend) -> None:
    await backend.stop()
    log = world.write(backend.name, lines(range(10)))
    async with world.running() as server:
        known = backend_of(server, backend.name)
        await until(lambda: known.pending == 10, "the lines are counted")
        log.rename(log.with_name(NEXT))
        await until(lambda: list(known.logs) == [NEXT], "the new name is seen")
        assert known.counts.lost == 0
        await backend.start()
        await until(lambda: len(backend.got) == 10, "the lines")


async def test_once_ends_though_a_line_never_gets_an_answer(world: World, backend: Backend) -> None:
    backend.says = lambda _: None
    world.write(backend.name, line("a"))
    assert not await world.drained()
