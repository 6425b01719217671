"""Records in all formats arrive as they are, whatever they and their uids look like."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from aiohttp import web

from tests.kit.pipeline import Pair, iso

AT = "2026-01-01T00:00:00Z"


@pytest.fixture
def one(pair: Pair) -> Pair:
    """With one frame that is over."""
    pair.seconds = 3600
    pair.base = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=5400)
    return pair


class Arrived:
    """What the receiver gets, with all digits."""

    def __init__(self, pair: Pair) -> None:
        self.bodies: dict[str, Any] = {}
        self.texts: dict[str, bytes] = {}
        pair.receiver.answer = self.answer

    async def answer(self, request: web.Request) -> web.Response:
        key, text = request.headers["Idempotency-Key"], await request.read()
        self.bodies[key], self.texts[key] = json.loads(text, parse_float=Decimal), text
        return web.Response(status=201)


def _answer(pair: Pair, body: str | bytes | Callable[[], str | bytes]) -> None:
    """The first frame has this body; all others have none."""

    async def answer(request: web.Request) -> web.Response:
        if request.query["from"] != iso(pair.base):
            return web.Response(status=204)
        found = body() if callable(body) else body
        return web.Response(body=found.encode() if isinstance(found, str) else found)

    pair.sender.answer = answer


async def _done(pair: Pair) -> dict[str, Any]:
    pair.start("pull")
    pair.start("push")
    await pair.until(lambda: pair.name(0) in pair.done())
    return pair.done()[pair.name(0)]


NUMBERS = """{"items": [
    {"uid": "a", "n": 12345678901234567890123456789012345678901234567890, "f": 1.10, "e": 1e400, "z": -0.0},
    {"uid": "b", "n": 0.1234567890123456789012345678901234567890, "deep": {"list": [1.0, 2.50, null, true, "\\u00fc"]}}
]}"""


@pytest.mark.long
async def test_numbers_keep_all_their_digits(one: Pair) -> None:
    arrived = Arrived(one)
    _answer(one, NUMBERS)
    one.configure()
    await _done(one)
    assert arrived.bodies["a"] == {
        "uid": "a",
        "n": 12345678901234567890123456789012345678901234567890,
        "f": Decimal("1.1"),
        "e": Decimal("1e400"),
        "z": Decimal(0),
    }
    assert arrived.bodies["b"]["n"] == Decimal("0.1234567890123456789012345678901234567890")
    assert arrived.bodies["b"]["deep"] == {"list": [1, Decimal("2.5"), None, True, "ü"]}
    assert b"1.10" in arrived.texts["a"]


async def test_lines_of_json_arrive_as_they_are(one: Pair) -> None:
    arrived = Arrived(one)
    _answer(one, '{"uid":"a","n":1.10}\n\n  {"n": 2e0, "uid": "b"}\r\n{"uid":"c","t":"\\ud800 alone"}')
    one.configure(source={"format": "jsonl"})
    assert (await _done(one))["count"] == 3
    assert arrived.texts == {"a": b'{"uid":"a","n":1.10}', "b": b'{"n": 2e0, "uid": "b"}', "c": arrived.texts["c"]}
    assert arrived.bodies["c"]["t"] == "\ud800 alone"


async def test_half_of_a_pair_of_surrogates_is_sent_as_json_and_utf_8(one: Pair) -> None:
    arrived = Arrived(one)
    _answer(one, '{"items": [{"uid": "a\\ud800", "t": "\\\\\\ud800"}]}')
    one.configure()
    await _done(one)
    ((key, text),) = arrived.texts.items()
    assert key == "sha256-" + sha256("a\ud800".encode("utf-8", "surrogatepass")).hexdigest()
    assert json.loads(text.decode()) == {"uid": "a\ud800", "t": "\\\ud800"}


async def test_csv_with_quoted_lines_a_byte_order_mark_and_large_fields_arrives_as_texts(one: Pair) -> None:
    arrived = Arrived(one)
    _answer(one, '\ufeffuid,text,"a ""name"""\r\na,"two\nlines, and ""quotes""",\r\n\r\nb,' + "x" * 200_000 + ",ü\r\n")
    one.configure(source={"format": "csv"})
    assert (await _done(one))["count"] == 2
    assert arrived.bodies["a"] == {"uid": "a", "text": 'two\nlines, and "quotes"', 'a "name"': ""}
    assert arrived.bodies["b"] == {"uid": "b", "text": "x" * 200_000, 'a "name"': "ü"}


@pytest.mark.long
@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
async def test_a_body_of_many_megabytes_arrives_whole(one: Pair, form: str) -> None:
    count, filler = 600, "ä" * 8_000
    rows = [{"uid": f"r{number}", "text": filler} for number in range(count)]
    bodies = {
        "json": json.dumps({"meta": {"items": [1]}, "items": rows}, ensure_ascii=False),
        "jsonl": "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in rows),
        "csv": "uid,text\n" + "".join(f"{each['uid']},{each['text']}\n" for each in rows),
    }
    assert len(bodies[form].encode()) > 9 * 2**20
    arrived = Arrived(one)
    _answer(one, bodies[form])
    one.configure(source={"format": form}, sink={"in_flight": 4})
    assert (await _done(one))["count"] == count
    assert arrived.bodies == {each["uid"]: each for each in rows}


UIDS = {
    "plain": ("abc-1", "abc-1"),
    "whole number": (17, "17"),
    "large number": (2**70, str(2**70)),
    "not ASCII": ("grün", None),
    "quotes": ('say "hi"', None),
    "space": ("a b", None),
    "line": ("a\r\nInjected: yes", None),
    "long": ("x" * 300, None),
    "longest": ("x" * 255, "x" * 255),
}


async def test_every_uid_becomes_a_key_that_a_header_can_hold(one: Pair) -> None:
    arrived = Arrived(one)
    _answer(one, json.dumps({"items": [{"uid": uid} for uid, _ in UIDS.values()]}))
    one.configure()
    await _done(one)
    keys = {key or "sha256-" + sha256(str(uid).encode()).hexdigest(): uid for uid, key in UIDS.values()}
    assert {key: body["uid"] for key, body in arrived.bodies.items()} == keys


async def test_a_key_in_quotes_is_as_the_draft_wants_it(one: Pair) -> None:
    arrived = Arrived(one)
    _answer(one, '{"items": [{"uid": "a"}]}')
    one.configure(sink={"key_form": "quoted"})
    await _done(one)
    assert list(arrived.bodies) == ['"a"']


async def test_a_record_without_a_uid_among_others_sets_its_frame_aside(one: Pair) -> None:
    _answer(one, '{"items": [{"uid": "a"}, {"id": "b"}, {"uid": "c"}]}')
    one.configure()
    one.start("pull")
    await one.until(one.set_aside)
    assert one.set_aside()[one.name(0)].startswith("record 1 has nothing at 'uid'")
    assert not one.waiting()


@pytest.mark.long
async def test_a_frame_none_of_whose_records_has_a_uid_is_set_aside_when_others_are_well(pair: Pair) -> None:
    pair.seconds = 2

    async def renamed(request: web.Request) -> web.Response:
        wrong = request.query["from"] == iso(pair.base)
        return web.json_response({"items": [{"id" if wrong else "uid": request.query["from"]}]})

    pair.base = datetime.now(UTC).replace(microsecond=0)
    pair.sender.answer = renamed
    pair.configure()
    pair.start("pull")
    pair.start("push")
    await pair.until(pair.set_aside)
    assert list(pair.set_aside()) == [pair.name(0)]
    await pair.until(lambda: pair.name(2) in pair.done())


async def test_the_same_uid_with_other_content_sets_its_frame_aside(one: Pair) -> None:
    _answer(one, '{"items": [{"uid": "a", "v": 1}, {"uid": "b"}, {"uid": "a", "v": 2}]}')
    one.configure()
    one.start("pull")
    await one.until(one.set_aside)
    assert one.set_aside() == {one.name(0): "record 2 has the uid of another one, and other content"}
    assert not one.waiting()


async def test_the_same_record_twice_is_pushed_once(one: Pair) -> None:
    arrived = Arrived(one)
    _answer(one, '{"items": [{"uid": "a", "v": 1.50}, {"uid": "b"}, {"v": 1.5, "uid": "a"}]}')
    one.configure()
    assert (await _done(one))["count"] == 2
    assert arrived.bodies == {"a": {"uid": "a", "v": Decimal("1.5")}, "b": {"uid": "b"}}


async def test_a_mapping_casts_values_and_what_it_cannot_cast_sets_the_frame_aside(one: Pair) -> None:
    arrived = Arrived(one)
    rows = [{"uid": "a", "price": {"amount": "12.50"}, "when": "2026-01-01T01:00:00+01:00"}]
    _answer(one, lambda: json.dumps({"items": rows}))
    mapping = {
        "id": "uid",
        "price": {"path": "price.amount", "cast": "number"},
        "at": {"path": "when", "cast": "time"},
        "from": {"constant": "pipeline"},
        "note": {"path": "note", "optional": True},
    }
    one.configure(mapping=mapping)
    await _done(one)
    assert arrived.bodies["a"] == {"id": "a", "price": Decimal("12.5"), "at": AT, "from": "pipeline", "note": None}
