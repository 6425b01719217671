"""Lines that never get an answer: they hold up nobody but the lines of their keys, and are told."""

import asyncio
import random
from collections import defaultdict
from itertools import pairwise

import pytest
from aiohttp import web

from snk.handoff.backend import MOST_LOSSES
from snk.handoff.status import Limits, Watcher
from tests.kit.handoff import NEXT, OLD, World, backend_of, line, lines, until
from tests.kit.scripted import Answer, Backend, Got


def hangs(*keys: str) -> object:
    """What a backend says that never answers these keys."""

    async def says(got: Got) -> Answer:
        if any(f"key={key}&" in got.target for key in keys):
            await asyncio.Event().wait()
        return web.Response()

    return says


@pytest.mark.long
@pytest.mark.parametrize("threads", [1, 2, 4])
async def test_lines_that_hang_for_ever_do_not_hold_up_others_and_are_told(
    world: World, backend: Backend, threads: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """They had the only slot in turn, each for eight times as long as usual, and everything looked well."""
    backend.says = hangs("h1", "h2")  # type: ignore[assignment]
    world.change(threads=threads, timeout_seconds=0.2)
    world.write(backend.name, line("h1") + line("h2") + line("h1", 2) + lines(range(20)))
    async with world.running() as server:
        known, watcher = backend_of(server, backend.name), Watcher(server, Limits())
        await until(lambda: len(known.unanswered) == 2, "both got no answer several times")
        (trouble,) = watcher.status().troubles
        assert "2 lines got no answer" in trouble
        assert f"the oldest is {OLD}:1" in trouble
        world.write(backend.name, lines(range(100, 300)), NEXT)
        await until(lambda: known.counts.synced == 220, "all others")
        assert known.pending == 3
    assert not [target for target in backend.targets if "key=h1&ver=2" in target]
    assert capfd.readouterr().out.count("lines_unanswered") == 1


async def test_a_line_that_is_answered_at_last_is_told_no_more(world: World, backend: Backend) -> None:
    backend.says = hangs("h1")  # type: ignore[assignment]
    world.change(timeout_seconds=0.05)
    world.write(backend.name, line("h1"))
    async with world.running() as server:
        known, watcher = backend_of(server, backend.name), Watcher(server, Limits())
        await until(lambda: bool(known.unanswered), "it got no answer several times")
        backend.says = lambda _: web.Response(status=503)
        await until(lambda: not known.unanswered, "it got one, if a bad one")
        assert not any("no answer" in each for each in watcher.status().troubles)
        backend.says = lambda _: web.Response()
        await until(lambda: known.counts.synced == 1, "it is done")


async def test_a_line_that_takes_long_gets_its_time_while_others_are_answered_at_once(
    world: World, backend: Backend
) -> None:
    async def says(got: Got) -> Answer:
        if "key=slow" in got.target:
            await asyncio.sleep(0.5)
        return web.Response()

    backend.says = says
    world.change(timeout_seconds=0.1)
    world.write(backend.name, line("slow"))
    async with world.running() as server:
        known, number = backend_of(server, backend.name), 0
        async with asyncio.timeout(60):
            while known.counts.synced <= number:  # each success says that the backend is as fast as usual
                # A log of its own each: one whose minute is over is released with its last line.
                world.write(backend.name, line(str(number)), f"2023-11-{15 + number // 60}-22-{number % 60:02}.log")
                number += 1
                await until(lambda: known.counts.synced >= number, "the next line")  # noqa: B023
    assert not world.dead()


async def test_the_order_of_a_key_is_exact_whatever_is_answered(world: World, backend: Backend) -> None:
    chance = random.Random(7)

    async def says(_: Got) -> Answer:
        match chance.randrange(8):
            case 0:
                return None
            case 1:
                await asyncio.sleep(0.2)
            case 2:
                return web.Response(status=503)
        return web.Response()

    backend.says = says
    world.change(timeout_seconds=0.1, tries=10**6)
    world.write(backend.name, b"".join(line(f"k{key}", ver) for ver in range(1, 6) for key in range(20)))
    async with world.running() as server:
        await until(lambda: backend_of(server, backend.name).counts.synced == 100, "all lines")
    versions: defaultdict[str, list[int]] = defaultdict(list)
    for target in backend.targets:
        key, _, rest = target.partition("key=")[2].partition("&ver=")
        versions[key].append(int(rest.partition("&")[0]))
    assert len(versions) == 20
    assert all(after - before in (0, 1) for seen in versions.values() for before, after in pairwise(seen))


@pytest.mark.long
async def test_once_ends_though_lines_hang_and_sends_all_others(world: World, backend: Backend) -> None:
    backend.says = hangs("h1", "h2")  # type: ignore[assignment]
    world.change(timeout_seconds=0.2)
    world.write(backend.name, line("h1") + line("h2") + line("h1", 2) + lines(range(50)))
    assert not await world.drained()
    hung = [target for target in backend.targets if "key=h" in target]
    assert len(hung) <= 2 * MOST_LOSSES
    assert len(set(backend.targets) - set(hung)) == 50


async def test_a_backend_that_never_answers_is_not_flooded(world: World, backend: Backend) -> None:
    under_way: list[int] = []

    async def says(_: Got) -> Answer:
        under_way.append(backend.under_way)
        await asyncio.Event().wait()
        return web.Response()

    backend.says = says
    world.change(timeout_seconds=0.05)
    world.write(backend.name, lines(range(100)))
    async with world.running() as server:
        known = backend_of(server, backend.name)
        await until(lambda: known.breaker.state == "tripped", "it is probed")
        await until(lambda: known.under_way <= 1, "what was under way is over")
        seen = len(backend.got)
        await until(lambda: len(backend.got) > seen + 3, "some probes")
        assert known.under_way <= 1
        assert known.counts.dead == 0
