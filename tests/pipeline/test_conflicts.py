"""An answer 409 counts as stored only for a record that may have been stored before; and a stop proves nothing."""

import asyncio
import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from snk.pipeline.doubts import AFTER_CRASH, Doubts
from tests.kit.pipeline import Pair, record

RECORDS = 6
KEY = "Idempotency-Key"


@pytest.fixture
def one(pair: Pair) -> Pair:
    """With one frame of six records, which is all that is over for a long time."""
    pair.seconds = 600
    pair.base = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=610)
    pair.sender.records = [record(f"r{number}", pair.base + timedelta(seconds=number)) for number in range(RECORDS)]
    return pair


def _answers(pair: Pair, status: Callable[[str], int]) -> list[str]:
    """Answer with this status for each key, 0 means as usual; return the keys as they come."""
    came: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse | None:
        came.append(request.headers[KEY])
        return web.Response(status=given) if (given := status(request.headers[KEY])) else None

    pair.receiver.answer = answer
    return came


async def _stop(pair: Pair) -> None:
    for process in pair.processes:
        process.send_signal(signal.SIGTERM)
    for process in pair.processes:
        assert await asyncio.to_thread(process.wait, 10) == 0
    pair.processes.clear()


@pytest.mark.long
async def test_after_a_restart_a_conflict_of_a_record_that_was_never_sent_is_no_success(one: Pair) -> None:
    came = _answers(one, lambda _: 401)
    one.configure()
    one.start("pull")
    one.start("push")
    await one.until(lambda: came)
    await _stop(one)
    _answers(one, lambda key: 409 if key == "r2" else 0)
    one.start("push")
    await one.until(one.set_aside)
    assert "409" in one.set_aside()[one.name(0)]
    assert not one.finished()
    assert "r2" not in one.receiver.stored


@pytest.mark.long
async def test_retrying_a_frame_does_not_make_its_conflict_a_success(one: Pair) -> None:
    came = _answers(one, lambda key: 409 if key == "r2" else 0)
    one.configure()
    one.start("pull")
    one.start("push")
    await one.until(one.set_aside)
    before = came.count("r2")
    await asyncio.to_thread(one.run, "quarantine", "retry", "--all")
    await one.until(lambda: came.count("r2") > before and one.set_aside())
    assert not one.finished()
    _answers(one, lambda _: 0)  # the cause is gone
    await asyncio.to_thread(one.run, "quarantine", "retry", "--all")
    await one.until(one.finished)
    assert len(one.receiver.stored) == RECORDS
    assert not one.receiver.twice


@pytest.mark.long
async def test_refusals_for_a_while_do_not_make_conflicts_of_others_a_success(one: Pair) -> None:
    failing = iter(range(7))

    def status(key: str) -> int:
        if key == "r1" and next(failing, None) is not None:
            return 500
        return 409 if key == "r4" else 0

    _answers(one, status)
    one.configure()
    one.start("pull")
    one.start("push")
    await one.until(one.set_aside)
    assert "409" in one.set_aside()[one.name(0)]
    assert "r4" not in one.receiver.stored


@pytest.mark.long
async def test_a_record_that_was_under_way_when_push_was_killed_may_conflict_with_itself(one: Pair) -> None:
    held = asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse | None:
        if request.headers[KEY] == "r3" and not held.is_set():
            one.receiver.store("r3", await request.json())
            held.set()
            await asyncio.sleep(60)
        return web.Response(status=409) if request.headers[KEY] in one.receiver.stored else None

    one.receiver.answer = hold
    one.configure(sink={"timeout_seconds": 60})
    one.start("pull")
    push = one.start("push")
    await held.wait()
    uids = one.space / "rss/uids" / f"{one.name(0)}.uids"
    await one.until(lambda: uids.exists() and '"r2"' in uids.read_text())
    push.kill()
    await asyncio.to_thread(push.wait)
    one.start("push")
    await one.until(one.finished)
    assert one.done()[one.name(0)]["stored"] == 1
    assert len(one.receiver.stored) == RECORDS


@pytest.mark.long
async def test_a_stop_while_the_last_record_waits_does_not_prove_the_frame(one: Pair) -> None:
    came = _answers(one, lambda key: 500 if key == "r5" else 0)
    one.configure()
    one.start("pull")
    one.start("push")
    await one.until(lambda: came.count("r5") > 1)
    await _stop(one)
    assert not one.finished()
    _answers(one, lambda _: 0)
    one.start("push")
    await one.until(one.finished)
    assert len(one.receiver.stored) == RECORDS
    assert not one.receiver.twice


@pytest.mark.long
async def test_of_a_batch_that_is_refused_all_other_records_arrive(one: Pair) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse | None:
        body = json.loads(await request.read())
        records = body if isinstance(body, list) else [body]
        if any(each["uid"] == "r2" for each in records):
            return web.Response(status=409 if len(records) > 1 else 422, text="r2 does not fit")
        for each in records:
            one.receiver.store(each["uid"], each)
        return web.Response(status=201)

    one.receiver.answer = refuse
    one.configure(sink={"batch": 4})
    one.start("pull")
    one.start("push")
    await one.until(one.set_aside)
    assert "422: r2 does not fit" in one.set_aside()[one.name(0)]
    assert set(one.receiver.stored) >= {"r0", "r1"}
    await asyncio.to_thread(one.run, "quarantine", "retry", "--all")
    await one.until(one.set_aside)
    assert "r2" not in one.receiver.stored


def test_what_is_in_doubt_outlives_an_orderly_end(tmp_path: Path) -> None:
    file = tmp_path / "frame.doubts"
    first = Doubts(file, 1)
    assert not first.begin("a")
    assert not first.begin("b")
    first.over(["a"])
    first.close()
    second = Doubts(file, 1)
    assert (second.has("a"), second.has("b")) == (False, True)
    second.over(["b"])
    second.close()
    assert not file.exists()


def test_after_a_kill_the_first_unacknowledged_records_are_in_doubt(tmp_path: Path) -> None:
    file = tmp_path / "frame.doubts"
    Doubts(file, 2).start()  # never closed
    after = Doubts(file, 2)
    met = [f"{number}" for number in range(AFTER_CRASH + 5)]
    for uid in met:
        after.meet(uid)
    assert [uid for uid in met if after.has(uid)] == met[: AFTER_CRASH + 2]


def test_a_file_of_doubts_that_is_not_whole_counts_as_a_kill(tmp_path: Path) -> None:
    file = tmp_path / "frame.doubts"
    file.write_bytes(b"")
    after = Doubts(file, 1)
    after.meet("a")
    assert after.has("a")


@pytest.mark.long
async def test_verify_tells_whether_the_receiving_database_was_compared(one: Pair) -> None:
    one.configure()
    one.start("pull")
    one.start("push")
    await one.until(one.finished)
    assert "database was not compared" in await asyncio.to_thread(one.run, "verify", code=0)
    told = json.loads(await asyncio.to_thread(one.run, "verify", "--json", code=0))
    assert (told["equal"], told["database"], told["records"]) == (True, False, RECORDS)


async def test_the_doctor_does_not_believe_a_404_that_was_never_a_200(one: Pair) -> None:
    async def nothing(_: web.Request) -> web.StreamResponse | None:
        return web.Response(status=404)

    one.sender.answer = nothing
    one.configure()
    assert "it answers 404" in await asyncio.to_thread(one.run, "doctor", code=1)


@pytest.mark.long
async def test_a_second_run_is_told_that_the_pipeline_runs_already(one: Pair) -> None:
    one.configure()
    one.start("run")
    await one.until(one.finished)
    assert "Another `snk pipeline pull` works in" in await asyncio.to_thread(one.run, "run", code=2)
