"""Frames that lack records at the receiving end are pulled and pushed once more."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from snk.pipeline.again import granted, wish, wished
from snk.pipeline.space import Space
from tests.kit.pipeline import Pair, record

FRAMES = 3


@pytest.fixture
async def done(pair: Pair) -> Pair:
    """A pipeline that has brought over three frames with two records each, and looks at none of them again."""
    for frame in range(FRAMES):
        at = pair.start_of(frame)
        pair.sender.records += [record(f"u{frame}-{number}", at + timedelta(seconds=number)) for number in range(2)]
    pair.configure()
    pair.start("pull")
    pair.start("push")
    await pair.all_arrived(FRAMES)
    return pair


async def again(pair: Pair, frame: int, *words: str, part: int = 1) -> dict[str, Any]:
    """Send a frame again; return the new proof."""
    name = pair.name(frame)
    start = f"{pair.start_of(frame):%Y-%m-%dT%H:%M:%SZ}"
    assert "1 frame will be" in await asyncio.to_thread(pair.run, "again", start, *words, code=0)
    await pair.until(lambda: f"{name}.{part}" in pair.done())
    await pair.until(lambda: not pair.leftover(FRAMES))
    assert not list((pair.space / "sss/again").iterdir())
    return pair.done()[f"{name}.{part}"]


async def verified(pair: Pair, code: int) -> dict[str, Any]:
    end = f"{pair.start_of(FRAMES):%Y-%m-%dT%H:%M:%SZ}"
    found: dict[str, Any] = json.loads(await asyncio.to_thread(pair.run, "verify", "--json", "--to", end, code=code))
    return found


@pytest.mark.long
async def test_records_that_verify_finds_lacking_arrive_and_then_it_finds_all_equal(done: Pair) -> None:
    del done.receiver.stored["u1-0"]
    done.sender.records.append(record("too-late", done.start_of(1)))
    told = await verified(done, code=1)
    assert [(each["sign"], each["words"]) for each in told["different"]] == [("-", "1 of 3 are not pushed")]
    assert "snk pipeline again" in await asyncio.to_thread(done.run, "verify", code=1)
    before = done.status()

    proof = await again(done, 1)
    assert (proof["again"], proof["count"], proof["part"]) == (True, 3, 1)
    assert {"u1-0", "u1-1", "too-late"} <= set(done.receiver.stored)
    assert len(done.receiver.received) == 3 + 2 * FRAMES, "no record of another frame is sent"
    assert (await verified(done, code=0))["records"] == 1 + 2 * FRAMES
    status = done.status()
    assert (status["records"], status["late"], status["again"]) == (before["records"], before["late"], 0)

    second = await again(done, 1, part=2)
    assert second["count"] == 3
    await verified(done, code=0)


@pytest.mark.long
async def test_keys_are_others_only_if_that_is_wanted(done: Pair) -> None:
    await again(done, 0)
    assert done.receiver.twice == ["u0-0", "u0-1"]
    await again(done, 2, "--new-keys")
    new = set(done.receiver.received[-2:])
    assert {key.partition("~")[0] for key in new} == {"u2-0", "u2-1"}
    assert not new & {"u2-0", "u2-1"}


@pytest.mark.long
async def test_a_conflict_means_that_the_record_is_there(done: Pair) -> None:
    """A server may answer 409 to a key that it knows, and say no more."""

    async def knows(request: web.Request) -> web.StreamResponse | None:
        known = request.headers["Idempotency-Key"] in done.receiver.stored
        return web.Response(status=409) if known else None

    done.receiver.answer = knows
    del done.receiver.stored["u0-1"]
    proof = await again(done, 0)
    assert (proof["count"], proof["stored"]) == (2, 1)
    assert "u0-1" in done.receiver.stored
    assert done.status()["quarantined"] == 0


def test_a_wish_that_is_made_while_an_earlier_one_is_granted_stays(space: Space) -> None:
    wish(space, [3], new_keys=False)
    first = wished(space, 3)
    assert first
    wish(space, [3], new_keys=False)
    granted(space, 3, first)
    second = wished(space, 3)
    assert second
    granted(space, 3, second)
    assert wished(space, 3) is None


async def test_a_frame_that_the_source_has_no_more_is_proven_to_be_empty(done: Pair) -> None:
    done.sender.records.clear()
    assert (await again(done, 0))["count"] == 0


@pytest.mark.long
async def test_what_is_not_done_cannot_be_sent_again(done: Pair) -> None:
    later = f"{done.start_of(10_000):%Y-%m-%dT%H:%M:%SZ}"
    for given, reason in ((later, "is not done"), ("2020-01-01T00:00:00Z", "where no frame starts"), ("x", "is 'x'")):
        told = await asyncio.to_thread(done.run, "again", given, code=2)
        assert reason in told
    assert not list((done.space / "sss/again").iterdir())
