"""Lines are sent once each, in the order of their keys, and nothing else is."""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from snk.handoff.record import Record, packed
from tests.kit.handoff import HEAD, NEXT, World, backend_of, line, lines, until
from tests.kit.scripted import Backend, Got


def keys(backend: Backend) -> list[str]:
    """The keys of all requests, in the order in which they arrived."""
    return [target.partition("key=")[2].partition("&")[0] for target in backend.targets]


async def test_logs_from_before_the_start_are_sent_and_released(world: World, backend: Backend) -> None:
    log = world.write(backend.name, lines(range(100)))
    assert await world.drained()
    assert sorted(map(int, keys(backend))) == list(range(100))
    assert not log.exists()
    assert not list((world.folder / "state" / "progress" / backend.name).iterdir())


async def test_a_log_that_grows_is_read_on_and_half_a_line_waits(world: World, backend: Backend) -> None:
    world.change(release_seconds=3600.0)  # before that, half a line at the end of an old log is taken for torn
    whole = line("second")
    world.write(backend.name, line("first") + whole[:20])
    async with world.running() as server:
        await until(lambda: keys(backend) == ["first"], "the first line")
        await until(lambda: not backend_of(server, backend.name).reading, "it is read")
        world.write(backend.name, whole[20:] + line("third"))
        await until(lambda: sorted(keys(backend)) == ["first", "second", "third"], "the others")


async def test_the_order_of_a_key_is_kept_and_others_overtake(world: World, backend: Backend) -> None:
    waits = asyncio.Event()

    async def slow(got: Got) -> web.Response:
        if "key=a&ver=1" in got.target:
            await waits.wait()
        return web.Response()

    backend.says = slow
    world.write(backend.name, line("a", 1) + line("a", 2) + line("b", 1) + line("a", 3))
    world.write(backend.name, line("a", 4), NEXT)
    async with world.running():
        await until(lambda: "b" in keys(backend), "the other key")
        assert keys(backend).count("a") == 1
        waits.set()
        await until(lambda: len(backend.got) == 5, "all of them")
    versions = [target.partition("ver=")[2][0] for target in backend.targets if "key=a" in target]
    assert versions == ["1", "2", "3", "4"]


async def test_what_was_answered_is_not_sent_again_after_a_restart(world: World, backend: Backend) -> None:
    backend.says = lambda got: web.Response(status=503 if "key=7&" in got.target else 200)
    world.change(tries=10**6)
    log = world.write(backend.name, lines(range(10)))
    async with world.running() as server:
        await until(lambda: backend_of(server, backend.name).counts.synced == 9, "all but one")
    assert log.exists()
    backend.got.clear()
    backend.says = lambda _: web.Response()
    assert await world.drained()
    assert keys(backend) == ["7"]


async def test_a_folder_may_appear_while_it_runs(
    world: World, backend: Backend, backends: Callable[[], Awaitable[Backend]]
) -> None:
    other = await backends()
    world.write(backend.name, line("a"))
    async with world.running():
        await until(lambda: keys(backend) == ["a"], "the first backend")
        world.write(other.name, line("b"))
        await until(lambda: keys(other) == ["b"], "the second backend")


async def test_a_backend_that_comes_back_is_sent_everything_at_once(world: World, backend: Backend) -> None:
    await backend.stop()
    for minute in range(20):
        world.write(backend.name, lines(range(minute * 10, minute * 10 + 10)), f"2023-11-14-22-{minute:02}.log")
    async with world.running() as server:
        await until(lambda: backend_of(server, backend.name).alive is False, "it is down")
        await until(lambda: backend_of(server, backend.name).pending == 200, "the lines are counted")
        await backend.start()
        await until(lambda: len(backend.got) == 200, "all lines")
        await until(lambda: not list((world.logs / backend.name).iterdir()), "the logs are released")


async def test_backends_do_not_wait_for_each_other(
    world: World, backend: Backend, backends: Callable[[], Awaitable[Backend]]
) -> None:
    stuck = await backends()

    async def never(_: Got) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    stuck.says = never
    world.change(timeout_seconds=3600)
    world.write(stuck.name, lines(range(5000)))
    world.write(backend.name, lines(range(200)))
    async with world.running():
        await until(lambda: len(backend.got) == 200, "the backend that answers")
        await until(lambda: stuck.under_way == 4, "the one that does not has slots of its own")
        await stuck.stop()


async def test_credentials_are_sent(world: World, backend: Backend) -> None:
    world.change(authorization="user:pässword")
    world.write(backend.name, line("a"))
    assert await world.drained()
    assert backend.got[0].authorization == "Basic dXNlcjpww6Rzc3dvcmQ="


async def test_a_record_whose_time_is_over_counts_as_synced_and_is_not_sent(world: World, backend: Backend) -> None:
    world.write(backend.name, HEAD + b64encode(packed(Record(1, 1, b"k", 1_600_000_000, value=b"v"))) + b"\n")
    async with world.running() as server:
        await until(lambda: backend_of(server, backend.name).counts.synced == 1, "it counts")
        assert backend_of(server, backend.name).counts.expired == 1
    assert not backend.got


async def test_a_backend_with_an_ipv6_address_is_sent_its_lines(world: World) -> None:
    backend = Backend(host="::1")
    try:
        await backend.start()
    except OSError:
        pytest.skip("this machine has no IPv6")
    try:
        world.write(backend.name, lines(range(3)))
        assert await world.drained()
    finally:
        await backend.stop()
    assert sorted(keys(backend)) == ["0", "1", "2"]
