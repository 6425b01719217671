"""Both processes are killed at random moments, told to stop in the middle of work, and started twice."""

import asyncio
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest
from aiohttp import web

from tests.kit.pipeline import Pair, iso, record, second_ago


def _records(pair: Pair, frames: int) -> None:
    """None to five in each frame of a second."""
    chance = random.Random(frames)
    pair.seconds = 1
    pair.base = second_ago(frames + 1)
    for frame in range(frames):
        for number in range(chance.choice((0, 1, 1, 2, 5))):
            pair.sender.records.append(record(f"{frame}-{number}", pair.start_of(frame), number))


async def _kill(pair: Pair, name: str, progress: Callable[[], int], end: int, kills: int) -> None:
    """Run a process, kill it at so many random moments of its progress, and start it again each time."""
    process = pair.start(name)
    for moment in sorted(random.randrange(end) for _ in range(kills)):
        await pair.until(lambda: progress() >= moment, 600)  # noqa: B023 - it is waited for here
        pair.kill(process)
        process = pair.start(name)


@pytest.mark.parametrize(
    ("frames", "kills", "in_flight"),
    [
        pytest.param(300, 3, 1, marks=pytest.mark.full),
        (300, 3, 8),
        pytest.param(5000, 10, 8, marks=pytest.mark.full),
    ],
)
async def test_killed_at_random_moments_nothing_is_lost_and_only_what_was_under_way_is_sent_twice(
    pair: Pair, frames: int, kills: int, in_flight: int, run: int
) -> None:
    print("run", run)
    _records(pair, frames)
    pair.configure(sink={"in_flight": in_flight}, source={"requests_per_second": 10_000})
    receiver, sender = pair.receiver, pair.sender
    await asyncio.gather(
        _kill(pair, "pull", lambda: len(set(sender.asked)), frames, kills),
        _kill(pair, "push", lambda: len(receiver.stored), len(sender.records), kills),
    )
    await pair.all_arrived(frames, 600)
    assert receiver.stored == {each["uid"]: each for each in sender.records}
    assert len(receiver.twice) <= 2 * kills * in_flight, "what was under way, and what was acknowledged just before"
    assert set(receiver.twice) <= {key for key, count in Counter(receiver.received).items() if count > 1}
    assert not pair.set_aside()


@pytest.mark.long
@pytest.mark.parametrize("busy", ["sending", "receiving", "reading", "comparing"])
async def test_both_processes_end_within_five_seconds_of_being_told_to(pair: Pair, busy: str) -> None:
    """While a server does not answer, and while a large answer is read."""
    pair.sender.records = [record(str(number), pair.base) for number in range(50)]
    large = json.dumps({"items": [record(str(number), pair.base) for number in range(200_000)]}).encode()
    entered = asyncio.Event()
    never = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse | None:
        if busy == "receiving" or request.method == "GET":
            if busy in ("receiving", "comparing"):
                entered.set()
            await never.wait()
        return None

    async def source(request: web.Request) -> web.StreamResponse | None:
        if busy == "sending" and request.query["from"] != iso(pair.base):
            entered.set()
            await never.wait()
        if busy == "reading" and request.query["from"] == iso(pair.base):
            entered.set()
            return web.Response(body=large)
        return None

    pair.receiver.answer, pair.sender.answer = silent, source
    digest = pair.receiver.url + "?from={start}&to={end}"
    pair.configure(sink={"digest_url": digest, "timeout_seconds": 60}, source={"timeout_seconds": 60})
    processes = [pair.start("pull"), pair.start("push")]
    await pair.until(lambda: pair.told("rss")["at"] and pair.told("sss")["at"])
    await pair.until(entered.is_set)
    told = time.monotonic()
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        assert await asyncio.to_thread(process.wait, 20) == 0
    assert time.monotonic() - told < 5
    never.set()


@pytest.mark.long
async def test_a_second_process_on_the_same_space_is_refused(pair: Pair) -> None:
    pair.configure()
    pair.start("pull")
    pair.start("push")
    await pair.until(lambda: pair.told("rss")["at"] and pair.told("sss")["at"])
    refused = await asyncio.gather(*(asyncio.to_thread(pair.run, name, code=2) for name in ("pull", "push")))
    for name, words in zip(("pull", "push"), refused, strict=True):
        assert f"Another `snk pipeline {name}` works in" in words
    assert all(process.poll() is None for process in pair.processes)
