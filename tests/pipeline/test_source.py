"""What a sending server may answer: a frame is stored when it is known to be whole, and not before."""

import gzip
import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web

from tests.kit.pipeline import Pair, iso, minutes_ago, raw, record

PAGES = 5


class Paged:
    """Answers a frame in five pages, in one of the ways that there are."""

    def __init__(self, pair: Pair, how: str) -> None:
        self.pair = pair
        self.how = how
        self.broken: dict[int, int] = {}
        self.asked: list[int] = []

    async def answer(self, request: web.Request) -> web.Response:
        page = int(request.query.get("p", 1))
        self.asked.append(page)
        if page in self.broken:
            return web.Response(status=self.broken[page], text="try later")
        found = self.pair.sender.between(request.query["from"], request.query["to"])
        items = found[(page - 1) * 2 : page * 2]
        following = page + 1 if page < PAGES else None
        headers = {"Date": self.pair.sender.date}
        if self.how == "link" and following:
            headers["Link"] = f'<{request.url.update_query(p=str(following))}>; rel="next"'
        return web.json_response({"items": items, "next": following}, headers=headers)

    @property
    def source(self) -> dict[str, Any]:
        names = {"page": {"page_name": "p"}, "cursor": {"cursor_name": "p"}, "link": {}}
        return {"page": self.how, "in_flight": 1, **names[self.how]}


def _ten_records(pair: Pair) -> None:
    """All in the first frame, and only that one is over."""
    pair.base = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=5400)
    pair.seconds = 3600
    pair.sender.records = [record(f"r{number}", pair.base + timedelta(seconds=number)) for number in range(10)]


@pytest.mark.long
@pytest.mark.parametrize("how", ["page", "cursor", "link"])
async def test_a_frame_whose_third_page_fails_is_invisible_until_it_is_whole(pair: Pair, how: str) -> None:
    _ten_records(pair)
    paged = Paged(pair, how)
    paged.broken[3] = 500
    pair.sender.answer = paged.answer
    pair.configure(source=paged.source)
    pair.start("pull")
    pair.start("push")
    await pair.until(lambda: paged.asked.count(3) >= 2)
    assert not pair.waiting()
    assert not pair.receiver.received
    await pair.until(lambda: "it answers 500: try later" in pair.told("sss")["failing"].values())
    paged.broken.clear()
    await pair.all_arrived(1)
    assert pair.receiver.received == [f"r{number}" for number in range(10)]


@pytest.mark.long
@pytest.mark.parametrize(("how", "status"), [("cursor", 404), ("link", 204)])
async def test_a_page_that_was_promised_and_is_not_there_is_no_end(pair: Pair, how: str, status: int) -> None:
    _ten_records(pair)
    paged = Paged(pair, how)
    paged.broken[3] = status
    pair.sender.answer = paged.answer
    pair.configure(source=paged.source)
    pair.start("pull")
    pair.start("push")
    await pair.until(lambda: paged.asked.count(3) >= 2 or pair.waiting())
    assert not pair.waiting()
    paged.broken.clear()
    await pair.all_arrived(1)


async def test_numbered_pages_may_end_with_404(pair: Pair) -> None:
    _ten_records(pair)
    paged = Paged(pair, "page")
    paged.broken[6] = 404
    pair.sender.answer = paged.answer
    pair.configure(source=paged.source)
    pair.start("pull")
    pair.start("push")
    await pair.all_arrived(1)
    assert paged.asked[:6] == [1, 2, 3, 4, 5, 6]


async def test_a_cursor_that_leads_back_is_no_frame(pair: Pair) -> None:
    _ten_records(pair)

    async def circle(_: web.Request) -> web.Response:
        return web.json_response({"items": [], "next": "1"})

    pair.sender.answer = circle
    pair.configure(source={"page": "cursor"})
    pair.start("pull")
    await pair.until(lambda: any("was its page before" in why for why in pair.told("sss")["failing"].values()))
    assert not pair.waiting()


@pytest.mark.long
async def test_404_means_empty_once_the_source_has_answered_200_also_after_a_restart(pair: Pair) -> None:
    _ten_records(pair)
    asked = 0

    async def missing(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(status=404, text="no such path")

    pair.sender.answer = missing
    pair.configure(order="oldest", source={"in_flight": 1})
    process = pair.start("pull")
    pair.start("push")
    await pair.until(lambda: asked >= 2)
    assert not pair.waiting()
    await pair.until(lambda: "404: no such path" in pair.told("sss")["trouble"])
    pair.sender.answer = None
    await pair.until(lambda: "r0" in pair.receiver.stored)
    await pair.until((pair.space / "sss/answered").exists)
    pair.kill(process)
    pair.sender.answer = missing
    for file in [*pair.space.glob("rss/done/*"), *pair.space.glob("sss/frames/*")]:
        file.unlink()
    pair.start("pull")
    await pair.until(lambda: pair.waiting() or pair.finished())


async def test_200_with_an_error_in_its_body_is_no_frame(pair: Pair) -> None:
    pair.base = minutes_ago(5)
    pair.sender.records = [record(f"r{minute}", pair.start_of(minute)) for minute in range(5)]
    wrong = {
        pair.name(0): web.json_response({"error": "database is down"}),
        pair.name(1): web.json_response({"items": None, "error": "database is down"}),
        pair.name(2): web.json_response({"items": {"error": "database is down"}}),
        pair.name(3): web.Response(text="<html>database is down</html>", content_type="text/html"),
        pair.name(4): web.Response(text=""),
    }

    async def once(request: web.Request) -> web.Response | None:
        return wrong.pop(request.query["from"].replace("-", "").replace(":", ""), None)

    pair.sender.answer = once
    pair.configure()
    pair.start("pull")
    pair.start("push")
    await pair.all_arrived(5)
    assert not pair.set_aside()
    assert not [done for done in pair.done().values() if done["count"] == 0 and done["frame"] < iso(pair.start_of(5))]


@pytest.mark.long
@pytest.mark.parametrize("form", ["jsonl", "csv"])
async def test_an_error_message_in_place_of_lines_of_records_is_asked_for_again(pair: Pair, form: str) -> None:
    """One answer cannot be told from a change of the schema; but it must not need a person when it is over."""
    _ten_records(pair)
    wrong = 3

    async def lines(request: web.Request) -> web.Response:
        nonlocal wrong
        wrong -= 1
        if wrong >= 0:
            return web.Response(
                text='{"error":"database is down"}\n' if form == "jsonl" else "error\ndatabase is down\n"
            )
        return web.Response(text=_lines(pair, request, form))

    pair.sender.answer = lines
    pair.configure(source={"format": form, "in_flight": 1})
    pair.start("pull")
    pair.start("push")
    await pair.until(lambda: len(pair.receiver.stored) == 10 or pair.set_aside())
    assert not pair.set_aside()


def _lines(pair: Pair, request: web.Request, form: str) -> str:
    found = pair.sender.between(request.query["from"], request.query["to"])
    if form == "jsonl":
        return "".join(json.dumps(each) + "\n" for each in found)
    return "uid,at,value\n" + "".join(f"{each['uid']},{each['at']},{each['value']}\n" for each in found)


def _head(*headers: str) -> bytes:
    return "\r\n".join(("HTTP/1.1 200 OK", *headers, "", "")).encode()


WHOLE = b'{"items": [' + b",".join(
    json.dumps(record(f"r{n}", datetime(2026, 1, 1, tzinfo=UTC))).encode() for n in range(10)
)
JSONL = b"".join(json.dumps(record(f"r{n}", datetime(2026, 1, 1, tzinfo=UTC))).encode() + b"\n" for n in range(5))
CSV = b"uid,at,value\n" + b"".join(b"r%d,2026-01-01T00:00:00Z,1\n" % n for n in range(5))
CUT = {
    "too short for its length": ("json", _head("Content-Length: 5000") + WHOLE + b"]}"),
    "lines too short for their length": ("jsonl", _head("Content-Length: 5000") + JSONL),
    "without the last chunk": ("jsonl", _head("Transfer-Encoding: chunked") + b"%x\r\n%s\r\n" % (len(JSONL), JSONL)),
    "in the middle of a chunk": ("jsonl", _head("Transfer-Encoding: chunked") + b"%x\r\n%s" % (5000, JSONL)),
    "lines without a length": ("jsonl", _head("Connection: close") + JSONL),
    "rows without a length": ("csv", _head("Connection: close") + CSV),
    "a document without its end": ("json", _head("Connection: close") + WHOLE),
    "a document without its last bracket": ("json", _head("Connection: close") + WHOLE + b"]"),
    "packed, and cut before it was given a length": (
        "jsonl",
        _head("Content-Encoding: gzip", f"Content-Length: {len(gzip.compress(JSONL)) - 8}") + gzip.compress(JSONL)[:-8],
    ),
    "in the middle of the head": ("json", b"HTTP/1.1 200 OK\r\nContent-Le"),
}


@pytest.mark.long
@pytest.mark.sampled(5)
@pytest.mark.parametrize("how", CUT)
async def test_an_answer_that_is_cut_short_is_no_frame(pair: Pair, how: str) -> None:
    _ten_records(pair)
    form, answer = CUT[how]
    asked = 0

    async def cut(request: web.Request) -> web.StreamResponse | None:
        nonlocal asked
        asked += 1
        if asked <= 2:
            return await raw(request, answer)
        return None if form == "json" else web.Response(text=_lines(pair, request, form))

    pair.sender.answer = cut
    pair.configure(source={"format": form, "in_flight": 1})
    pair.start("pull")
    await pair.until(lambda: asked >= 2 or pair.waiting())
    assert not pair.waiting()
    pair.start("push")
    await pair.until(lambda: set(pair.receiver.stored) == {f"r{number}" for number in range(10)})


async def test_a_packed_answer_is_unpacked(pair: Pair) -> None:
    _ten_records(pair)

    async def packed(request: web.Request) -> web.Response:
        lines = _lines(pair, request, "jsonl").encode()
        body = gzip.compress(lines[:100]) + gzip.compress(lines[100:])
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    pair.sender.answer = packed
    pair.configure(source={"format": "jsonl"})
    pair.start("pull")
    pair.start("push")
    await pair.all_arrived(1)


async def test_a_count_that_does_not_fit_is_no_frame(pair: Pair) -> None:
    _ten_records(pair)
    total = 11

    async def counted(request: web.Request) -> web.Response:
        found = pair.sender.between(request.query["from"], request.query["to"])
        return web.json_response({"items": found, "total": total})

    pair.sender.answer = counted
    pair.configure(source={"count": "total"})
    pair.start("pull")
    pair.start("push")
    await pair.until(lambda: "it told of 11 records, and sent 10" in pair.told("sss")["failing"].values())
    assert not pair.waiting()
    total = 10
    await pair.all_arrived(1)


def _asked_to_wait(how: str) -> tuple[str, float]:
    """What Retry-After says, and after how many seconds at least it is asked again."""
    soon = datetime.now(UTC) + timedelta(seconds=3)
    past = datetime.now(UTC) - timedelta(days=1)
    return {
        "seconds": ("2", 2.0),
        "date": (format_datetime(soon, usegmt=True), 1.5),
        "past": (format_datetime(past, usegmt=True), 0.2),
        "negative": ("-5", 0.2),
        "zero": ("0", 0.2),
        "garbage": ("soon", 0.2),
    }[how]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("how", ["seconds", "date", "past", "negative", "zero", "garbage"])
async def test_the_source_is_left_alone_for_as_long_as_it_asks_and_never_asked_without_a_pause(
    pair: Pair, how: str, status: int
) -> None:
    _ten_records(pair)
    asked: list[float] = []
    least = 0.0

    async def busy(_: web.Request) -> web.Response | None:
        nonlocal least
        asked.append(time.monotonic())
        if len(asked) > 1:
            return None
        text, least = _asked_to_wait(how)
        return web.Response(status=status, headers={"Retry-After": text})

    pair.sender.answer = busy
    pair.configure(source={"in_flight": 1})
    pair.start("pull")
    pair.start("push")
    await pair.all_arrived(1)
    assert asked[1] - asked[0] >= least


@pytest.mark.long
async def test_a_source_that_asks_for_a_day_is_left_alone_and_asked_by_the_next_run(pair: Pair) -> None:
    _ten_records(pair)
    asked = 0

    async def busy(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(status=503, headers={"Retry-After": "86400"}, text="closed today")

    pair.sender.answer = busy
    pair.configure(source={"in_flight": 1})
    process = pair.start("pull")
    pair.start("push")
    await pair.until(lambda: "closed today" in pair.told("sss")["trouble"])
    told = pair.told("sss")["at"]
    await pair.until(lambda: pair.told("sss")["at"] > told + 2)
    assert asked == 1
    pair.kill(process)
    pair.sender.answer = None
    pair.start("pull")
    await pair.all_arrived(1)


async def test_the_source_gets_no_more_requests_than_it_withstands(pair: Pair) -> None:
    pair.seconds = 1
    asked: list[float] = []

    async def note(_: web.Request) -> None:
        asked.append(time.monotonic())

    pair.sender.answer = note
    pair.configure(source={"requests_per_second": 20})
    pair.start("pull")
    await pair.until(lambda: len(asked) >= 50)
    assert asked[49] - asked[0] >= (50 - 1 - 2) / 20


@pytest.mark.parametrize("ahead", [-20.0, 20.0])
async def test_the_clock_of_the_source_decides_which_frames_are_over(pair: Pair, ahead: float) -> None:
    pair.seconds = 2
    pair.base = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=30)
    pair.sender.ahead = ahead
    accepted = []

    async def note(request: web.Request) -> None:
        if datetime.fromisoformat(request.query["to"]) <= pair.sender.now:
            accepted.append(request.query["from"])

    pair.sender.answer = note
    pair.configure()
    pair.start("pull")
    pair.start("push")
    over = 5 if ahead < 0 else 25
    await pair.until(lambda: {pair.name(frame) for frame in range(over)} <= pair.finished())
    ended = int((pair.sender.now - pair.base).total_seconds() // 2)
    assert len(pair.finished()) <= ended
    assert {iso(pair.start_of(frame)) for frame in range(over)} <= set(accepted)
    word = "ahead of" if ahead > 0 else "behind"
    await pair.until(lambda: f"the clock of the source is 20 s {word} ours" in pair.log("pull"))
    assert pair.log("pull").count("clocks_apart") == 1
    await pair.until(lambda: any("clocks" in trouble for trouble in pair.status()["troubles"]))


async def test_a_frame_in_the_future_of_the_source_is_not_asked_for_again_and_again(pair: Pair) -> None:
    pair.seconds = 10
    pair.base = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60)
    pair.sender.ahead = -30.0
    pair.configure()
    pair.start("pull")
    pair.start("push")
    await pair.until(lambda: {pair.name(frame) for frame in range(3)} <= pair.finished())
    assert len(pair.sender.asked) < 12
