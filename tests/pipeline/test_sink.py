"""What a receiving server may answer: each record arrives once, and a frame is done when all of it has."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web

from tests.kit.pipeline import Pair, Receiver, raw, record, serving

FRAMES = 5


@pytest.fixture
def loaded(pair: Pair) -> Pair:
    """With ten records in each of five frames, which are all that are over for a long time."""
    pair.seconds = 600
    pair.base = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=FRAMES * 600 + 10)
    pair.sender.records = [
        record(f"{frame}-{number}", pair.start_of(frame) + timedelta(seconds=number))
        for frame in range(FRAMES)
        for number in range(10)
    ]
    return pair


def _start(pair: Pair) -> None:
    pair.start("pull")
    pair.start("push")


def _problem(status: int, **members: Any) -> web.Response:
    return web.json_response({"status": status, **members}, status=status, content_type="application/problem+json")


@pytest.mark.long
@pytest.mark.parametrize(("in_flight", "batch"), [(1, 0), (4, 0), (1, 3)])
async def test_no_more_requests_are_under_way_than_allowed(loaded: Pair, in_flight: int, batch: int) -> None:
    async def slow(request: web.Request) -> web.StreamResponse | None:
        await request.read()
        await asyncio.sleep(0.005)
        if not batch:
            return None
        for each in await request.json():
            loaded.receiver.store(each["uid"], each)
        return web.Response()

    loaded.receiver.answer = slow
    loaded.configure(sink={"in_flight": in_flight, "batch": batch})
    _start(loaded)
    await loaded.all_arrived(FRAMES)
    assert loaded.receiver.most_at_once == in_flight
    assert Counter(loaded.receiver.received) == Counter(each["uid"] for each in loaded.sender.records)


async def test_records_of_a_frame_come_in_their_order_one_by_one(loaded: Pair) -> None:
    loaded.configure(order="oldest")
    _start(loaded)
    await loaded.all_arrived(FRAMES)
    of_frame = [[key for key in loaded.receiver.received if key.startswith(f"{frame}-")] for frame in range(FRAMES)]
    assert of_frame == [[f"{frame}-{number}" for number in range(10)] for frame in range(FRAMES)]


async def test_a_frame_is_not_done_before_its_last_answer_and_others_go_on_meanwhile(loaded: Pair) -> None:
    may_go = asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse | None:
        if _key(request) == "4-9":
            await may_go.wait()
        return None

    loaded.receiver.answer = hold
    loaded.configure(sink={"in_flight": 4, "timeout_seconds": 600})
    loaded.start("pull")
    await loaded.until(lambda: len(loaded.waiting()) == FRAMES)
    loaded.start("push")  # with the newest frame
    await loaded.until(lambda: len(loaded.finished()) == FRAMES - 1)
    assert loaded.name(4) not in loaded.finished()
    assert f"{loaded.name(4)}.jsonl" in loaded.waiting()
    may_go.set()
    await loaded.all_arrived(FRAMES)


async def test_a_batch_that_is_sent_again_has_the_same_key(loaded: Pair) -> None:
    keys: list[str] = []
    bodies: dict[str, Any] = {}

    async def lost(request: web.Request) -> web.StreamResponse | None:
        key, body = request.headers["Idempotency-Key"], await request.json()
        keys.append(key)
        assert bodies.setdefault(key, body) == body
        if len(keys) % 2:
            return await raw(request, b"")
        for each in body:
            loaded.receiver.store(each["uid"], each)
        return web.Response()

    loaded.receiver.answer = lost
    loaded.configure(sink={"batch": 4})
    _start(loaded)
    await loaded.all_arrived(FRAMES)
    assert sorted(len(body) for body in bodies.values()) == [2] * FRAMES + [4] * 2 * FRAMES


@pytest.mark.long
@pytest.mark.parametrize("again", [201, 409])
async def test_a_record_whose_answer_was_lost_is_sent_again_with_its_key_and_counted(loaded: Pair, again: int) -> None:
    """The server stored it, then the connection dropped; what a second answer says hides the first result."""
    lost = {"0-3", "0-7", "2-0", "4-9"}
    came: list[str] = []

    async def drop(request: web.Request) -> web.StreamResponse | None:
        key = request.headers["Idempotency-Key"]
        came.append(key)
        if key in loaded.receiver.stored:
            return web.Response(status=again, text="it is there")
        if key in lost:
            loaded.receiver.store(key, await request.json())
            return await raw(request, b"")
        return None

    loaded.receiver.answer = drop
    loaded.configure()
    _start(loaded)
    await loaded.all_arrived(FRAMES)
    assert {key for key, count in Counter(came).items() if count > 1} == lost
    assert not loaded.receiver.twice
    found = loaded.done()
    assert [found[loaded.name(frame)]["ambiguous"] for frame in range(FRAMES)] == [2, 0, 1, 0, 1]
    if again == 409:
        assert [found[loaded.name(frame)]["stored"] for frame in range(FRAMES)] == [2, 0, 1, 0, 1]
    assert (await asyncio.to_thread(loaded.status))["ambiguous"] == 4


@pytest.mark.long
@pytest.mark.parametrize(
    "part",
    [b"HTTP/1.1 201 Cre", b"HTTP/1.1 201 Created\r\nContent-Length: 20\r\n\r\n{", b"\0\1 no answer at all\r\n\r\n"],
)
async def test_an_answer_that_is_cut_short_or_none_counts_as_lost(loaded: Pair, part: bytes) -> None:
    cut = {"1-4"}

    async def drop(request: web.Request) -> web.StreamResponse | None:
        key = request.headers["Idempotency-Key"]
        if key in cut:
            cut.remove(key)
            loaded.receiver.store(key, await request.json())
            return await raw(request, part)
        return None

    loaded.receiver.answer = drop
    loaded.configure()
    _start(loaded)
    await loaded.all_arrived(FRAMES)
    assert loaded.receiver.twice == ["1-4"]
    assert loaded.done()[loaded.name(1)]["ambiguous"] == 1


async def test_an_answer_that_comes_too_late_is_lost_and_the_record_is_sent_again(loaded: Pair) -> None:
    late = {"1-4"}

    async def sleep(request: web.Request) -> web.StreamResponse | None:
        key = request.headers["Idempotency-Key"]
        if key in late:
            late.remove(key)
            loaded.receiver.store(key, await request.json())
            await asyncio.sleep(3)
        return None

    loaded.receiver.answer = sleep
    loaded.configure(sink={"timeout_seconds": 0.5})
    _start(loaded)
    await loaded.all_arrived(FRAMES)
    assert "1-4" in loaded.receiver.twice
    assert loaded.done()[loaded.name(1)]["ambiguous"] >= 1


async def test_409_without_a_lost_answer_sets_the_frame_aside_and_others_go_on(loaded: Pair) -> None:
    async def conflict(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=409, text="other content") if _key(request) == "2-5" else None

    loaded.receiver.answer = conflict
    loaded.configure()
    _start(loaded)
    await loaded.until(loaded.set_aside)
    await loaded.until(lambda: len(loaded.finished()) == FRAMES - 1)
    ((name, reason),) = loaded.set_aside().items()
    assert name == loaded.name(2)
    assert "409: other content" in reason
    assert loaded.receiver.stored.keys() >= {f"2-{number}" for number in range(5)}
    assert (await asyncio.to_thread(loaded.status))["quarantined"] == 1


@pytest.mark.parametrize("equal", [True, False])
async def test_409_of_a_server_that_tells_what_it_has_is_believed(loaded: Pair, *, equal: bool) -> None:
    async def conflict(request: web.Request) -> web.StreamResponse | None:
        if _key(request) != "2-5":
            return None
        loaded.receiver.stored["2-5"] = await request.json()
        return _problem(409, type="urn:snk:problem:already-stored", equal=equal)

    loaded.receiver.answer = conflict
    loaded.configure()
    _start(loaded)
    if equal:
        await loaded.all_arrived(FRAMES)
        assert loaded.done()[loaded.name(2)]["stored"] == 1
    else:
        await loaded.until(loaded.set_aside)


def _key(request: web.Request) -> str:
    return request.headers["Idempotency-Key"]


async def test_409_while_the_first_request_still_runs_is_waited_for(loaded: Pair) -> None:
    left = 7

    async def running(request: web.Request) -> web.StreamResponse | None:
        nonlocal left
        if _key(request) == "2-5" and left:
            left -= 1
            return _problem(409, type="urn:snk:problem:key-running")
        return None

    loaded.receiver.answer = running
    loaded.configure()
    _start(loaded)
    await loaded.all_arrived(FRAMES)
    assert left == 0
    assert not loaded.set_aside()


async def test_a_poison_record_sets_its_frame_aside_after_so_many_tries_and_others_go_on(loaded: Pair) -> None:
    async def poison(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=500, text="it hurts") if _key(request) == "4-0" else None

    loaded.receiver.answer = poison
    loaded.configure(sink={"tries": 6})
    loaded.start("pull")
    await loaded.until(lambda: len(loaded.waiting()) == FRAMES)
    loaded.start("push")  # with the newest frame
    await loaded.until(loaded.set_aside)
    await loaded.until(lambda: len(loaded.finished()) == FRAMES - 1)
    assert list(loaded.set_aside()) == [loaded.name(4)]
    assert "500: it hurts, " in loaded.set_aside()[loaded.name(4)]


@pytest.mark.long
async def test_a_schema_change_sets_frames_aside_with_the_reason_and_later_ones_go_on(loaded: Pair) -> None:
    for each in loaded.sender.records:
        if each["uid"].startswith("2-"):
            each["worth"] = each.pop("value")
    loaded.configure(mapping={"id": "uid", "at": "at", "amount": "value"})
    _start(loaded)
    await loaded.until(loaded.set_aside)
    await loaded.until(lambda: len(loaded.finished()) == FRAMES - 1)
    assert loaded.set_aside() == {loaded.name(2): "amount: there is nothing at 'value'"}
    assert not [key for key in loaded.receiver.received if key.startswith("2-")]
    assert loaded.receiver.stored["1-1"].keys() == {"id", "at", "amount"}
    status = await asyncio.to_thread(loaded.status)
    assert status["quarantined"] == 1
    assert any("quarantine" in trouble for trouble in status["troubles"])


@pytest.mark.long
async def test_a_server_that_is_down_is_waited_for_and_no_frame_is_set_aside(loaded: Pair) -> None:
    down = True

    async def overloaded(_: web.Request) -> web.StreamResponse | None:
        return web.Response(status=503, text="down") if down else None

    loaded.receiver.answer = overloaded
    loaded.configure(sink={"tries": 3, "in_flight": 8})
    _start(loaded)
    await loaded.until(lambda: "503: down" in loaded.told("rss")["trouble"])
    before = loaded.told("rss")["at"]
    await loaded.until(lambda: loaded.told("rss")["at"] > before + 2)
    down = False
    await loaded.all_arrived(FRAMES)
    assert not loaded.set_aside()


async def test_a_server_that_does_not_listen_is_waited_for_and_nothing_counts_as_ambiguous(loaded: Pair) -> None:
    other = Receiver()
    async with serving(other):
        pass  # its port is known now, and closed again
    loaded.configure(sink={"url": other.url})
    _start(loaded)
    await loaded.until(lambda: "cannot be reached" in loaded.told("rss")["trouble"])
    async with serving(other):
        await loaded.until(lambda: len(loaded.finished()) == FRAMES)
    assert Counter(other.received) == Counter(each["uid"] for each in loaded.sender.records)
    assert not any(done["ambiguous"] for done in loaded.done().values())


@pytest.mark.sampled(1)
@pytest.mark.parametrize("status", [401, 403, 404])
async def test_what_a_person_must_see_to_pauses_all_and_it_goes_on_afterwards(loaded: Pair, status: int) -> None:
    wrong = True

    async def refuse(_: web.Request) -> web.StreamResponse | None:
        return web.Response(status=status, text="not you") if wrong else None

    loaded.receiver.answer = refuse
    loaded.configure()
    _start(loaded)
    await loaded.until(lambda: f"{status}: not you" in loaded.told("rss")["trouble"])
    assert not loaded.receiver.received
    wrong = False
    await loaded.all_arrived(FRAMES)
    assert not loaded.set_aside()


async def test_a_limit_of_the_rate_is_no_fault_of_a_record(loaded: Pair) -> None:
    """Without Retry-After a record may be refused many times while others pass."""
    refused: Counter[str] = Counter()

    async def limit(request: web.Request) -> web.StreamResponse | None:
        if _key(request) == "2-5" and refused["2-5"] < 8:
            refused["2-5"] += 1
            return web.Response(status=429)
        return None

    loaded.receiver.answer = limit
    loaded.configure(sink={"tries": 2, "in_flight": 4})
    _start(loaded)
    await loaded.all_arrived(FRAMES)
    assert refused["2-5"] == 8
    assert not loaded.set_aside()


WAITS: dict[str, tuple[Callable[[], str], float]] = {
    "seconds": (lambda: "2", 2.0),
    "date": (lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True), 1.5),
    "past": (lambda: format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True), 0.05),
    "negative": (lambda: "-5", 0.05),
    "zero": (lambda: "0", 0.05),
    "garbage": (lambda: "soon", 0.05),
}


@pytest.mark.long
@pytest.mark.sampled(3)
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("how", WAITS)
async def test_the_server_is_left_alone_for_as_long_as_it_asks_and_never_asked_without_a_pause(
    loaded: Pair, how: str, status: int
) -> None:
    came: list[float] = []

    async def busy(_: web.Request) -> web.StreamResponse | None:
        came.append(time.monotonic())
        return web.Response(status=status, headers={"Retry-After": WAITS[how][0]()}) if len(came) == 1 else None

    loaded.receiver.answer = busy
    loaded.configure(sink={"retry_first_ms": 100})
    _start(loaded)
    await loaded.all_arrived(FRAMES)
    assert came[1] - came[0] >= WAITS[how][1]


@pytest.mark.long
async def test_a_server_that_asks_for_a_day_is_left_alone_and_asked_by_the_next_run(loaded: Pair) -> None:
    came = 0

    async def busy(_: web.Request) -> web.Response:
        nonlocal came
        came += 1
        return web.Response(status=503, headers={"Retry-After": "86400"}, text="closed today")

    loaded.receiver.answer = busy
    loaded.configure()
    loaded.start("pull")
    process = loaded.start("push")
    await loaded.until(lambda: "closed today" in loaded.told("rss")["trouble"])
    told = loaded.told("rss")["at"]
    await loaded.until(lambda: loaded.told("rss")["at"] > told + 2)
    assert came == 1
    loaded.kill(process)
    loaded.receiver.answer = None
    loaded.start("push")
    await loaded.all_arrived(FRAMES)
