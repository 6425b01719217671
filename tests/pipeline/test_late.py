"""Records that come late, twice, at the edge of a frame, or while it is pulled."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from tests.kit.pipeline import Pair, iso, record, second_ago

SOON_MINUTES = 0.05
"""A lookback of three seconds: each frame is looked at once more, at this age."""


def _now(pair: Pair) -> None:
    """Frames of two seconds from now on, with a record in each."""
    pair.base, pair.seconds = second_ago(0), 2
    pair.sender.records = [record(f"{number}", pair.start_of(number)) for number in range(60)]


def _latest(pair: Pair) -> int:
    """The latest frame that is done, which will be looked at again if the machine is not too busy; -1 if none is."""
    return max((frame for frame in range(60) if pair.name(frame) in pair.finished()), default=-1)


def _be_late(pair: Pair) -> list[str]:
    """Let a record of the latest frame come late; return the names of all supplements that are done."""
    latest = _latest(pair)
    if latest >= 0 and not any(each["uid"] == f"late-{latest}" for each in pair.sender.records):
        pair.sender.records.append(record(f"late-{latest}", pair.start_of(latest) + timedelta(seconds=1)))
    return [name for name in pair.done() if "." in name]


@pytest.mark.long
async def test_a_record_that_comes_late_becomes_a_supplement_and_the_done_file_of_its_frame_stays(pair: Pair) -> None:
    _now(pair)
    pair.configure(lookback_minutes=SOON_MINUTES)
    pair.start("pull")
    pair.start("push")
    proofs: dict[str, dict[str, object]] = {}

    def late() -> list[str]:
        proofs.update({name: done for name, done in pair.done().items() if name not in proofs})
        return _be_late(pair)

    await pair.until(late)
    name = next(name for name in pair.done() if "." in name)
    frame = next(frame for frame in range(60) if pair.name(frame) == name.partition(".")[0])
    supplement = pair.done()[name]
    assert (name, supplement["frame"]) == (f"{pair.name(frame)}.1", iso(pair.start_of(frame)))
    assert (supplement["part"], supplement["count"]) == (1, 1)
    assert pair.done()[pair.name(frame)] == proofs[pair.name(frame)]
    assert f"late-{frame}" in pair.receiver.stored
    assert max(Counter(pair.receiver.received).values()) == 1
    assert (await asyncio.to_thread(pair.status))["late"] >= 1


@pytest.mark.long
async def test_an_empty_list_during_an_outage_gets_a_done_file_and_is_looked_at_again(pair: Pair) -> None:
    _now(pair)
    hidden = set(range(60))

    async def outage(request: web.Request) -> web.Response | None:
        return web.json_response({"items": []}) if _frame(pair, request) in hidden else None

    def over() -> bool:
        hidden.discard(_latest(pair))
        return any("." in name for name in pair.done())

    pair.sender.answer = outage
    pair.configure(lookback_minutes=SOON_MINUTES)
    pair.start("pull")
    pair.start("push")
    await pair.until(over)
    name = next(name for name in pair.done() if "." in name)
    assert (pair.done()[name]["count"], pair.done()[name.partition(".")[0]]["count"]) == (1, 0)


def _frame(pair: Pair, request: web.Request) -> int:
    return int((datetime.fromisoformat(request.query["from"]) - pair.base).total_seconds()) // pair.seconds


@pytest.mark.long
async def test_late_records_are_found_after_a_restart_too(pair: Pair) -> None:
    _now(pair)
    pair.configure(lookback_minutes=2 * SOON_MINUTES)
    process = pair.start("pull")
    pair.start("push")
    await pair.until(lambda: _latest(pair) >= 0)
    latest = _latest(pair)
    pair.kill(process)
    pair.sender.records.append(record("late", pair.start_of(latest)))
    pair.start("pull")
    await pair.until(lambda: "late" in pair.receiver.stored)
    assert max(Counter(pair.receiver.received).values()) == 1


@pytest.mark.long
async def test_a_record_that_changes_after_it_was_pulled_is_told_once_and_not_pushed_again(pair: Pair) -> None:
    """Each frame is looked at once more, and not again and again until the clock of the source has passed a second."""
    _now(pair)
    pair.configure(lookback_minutes=SOON_MINUTES)
    pair.start("pull")
    pair.start("push")

    def change() -> str:
        if (latest := _latest(pair)) >= 0:
            pair.sender.records[latest]["value"] = 2
        return pair.log("pull")

    await pair.until(lambda: change().count("records_changed") >= 2)
    await pair.until(lambda: pair.told("sss")["changed"] >= 2)
    frames = [line.partition("frame=")[2].split()[0] for line in pair.log("pull").splitlines() if "_changed" in line]
    assert max(Counter(frames).values()) == 1
    assert max(Counter(pair.receiver.received).values()) == 1


@pytest.mark.long
async def test_a_record_at_the_edge_belongs_to_one_frame_also_if_the_source_sends_it_in_both(pair: Pair) -> None:
    """Some sources take both bounds as belonging to the window."""
    pair.base, pair.seconds = second_ago(40), 2
    pair.sender.records = [record(f"r{second}", pair.base + timedelta(seconds=second)) for second in range(40)]

    async def closed(request: web.Request) -> web.Response:
        start, end = request.query["from"], request.query["to"]
        found = [each for each in pair.sender.records if start <= each["at"] <= end]
        return web.json_response({"items": found})

    pair.sender.answer = closed
    pair.configure()
    pair.start("pull")
    pair.start("push")
    await pair.until(lambda: {pair.name(frame) for frame in range(19)} <= pair.finished())
    assert max(Counter(pair.receiver.received).values()) == 1
    assert sum(done["count"] for done in pair.done().values()) == len(pair.receiver.received)
    assert {f"r{second}" for second in range(38)} <= set(pair.receiver.stored)


async def test_frames_are_asked_for_as_half_open_windows_without_gap_or_overlap(pair: Pair) -> None:
    windows = set()

    async def note(request: web.Request) -> None:
        windows.add((request.query["from"], request.query["to"]))

    pair.sender.answer = note
    pair.configure(order="oldest")
    pair.start("pull")
    await pair.until(lambda: len(windows) >= 10)
    edges = [(iso(pair.start_of(frame)), iso(pair.start_of(frame + 1))) for frame in range(len(windows))]
    assert sorted(windows) == edges


@pytest.mark.long
async def test_records_committed_while_a_frame_is_pulled_are_in_it(pair: Pair) -> None:
    """They appear up to a second after their time, so that the frame is pulled when its end and the delay are over."""
    pair.base, pair.seconds = second_ago(0), 1
    early = []

    async def check(request: web.Request) -> None:
        asked = datetime.fromisoformat(request.query["to"])
        if datetime.now(UTC) < asked + timedelta(seconds=2):
            early.append(asked)

    async def write() -> None:
        for number in range(200):
            at = datetime.now(UTC)
            await asyncio.sleep(0.03)
            pair.sender.records.append(record(str(number), at))

    pair.sender.answer = check
    pair.configure(delay_seconds=2)
    pair.start("pull")
    pair.start("push")
    await write()
    await pair.until(lambda: len(pair.receiver.received) == 200)
    assert not early
    assert Counter(pair.receiver.received) == Counter(map(str, range(200)))
    assert not [name for name in pair.done() if "." in name]
