"""Streams of parts: what is sent, how often it is drawn, and when it ends."""

import asyncio
from collections.abc import Mapping

import orjson
import pytest

from snk.http.portal import live
from snk.http.portal.live import Live
from tests.kit.databases import until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw often, and end soon."""
    monkeypatch.setattr(live, "EVERY_SECONDS", 0.02)
    monkeypatch.setattr(live, "STREAM_SECONDS", 0.5)


class Drawn:
    """A page with a part that changes and one that does not; it counts how often it is drawn."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> Mapping[str, str]:
        self.times += 1
        await asyncio.sleep(0)
        return {"moving": f"{self.times}\n<b>", "still": "same"}


async def read(streams: Live, key: str, drawn: Drawn) -> list[tuple[str, str]]:
    """All parts that a stream sends until it ends."""
    text = b"".join([chunk async for chunk in streams.stream(key, drawn)])
    events = [event for event in text.split(b"\n\n") if event.startswith(b"event: part\n")]
    told = [orjson.loads(event.partition(b"data: ")[2]) for event in events]
    return [(each["name"], each["html"]) for each in told]


async def test_a_part_is_sent_when_it_has_changed() -> None:
    drawn = Drawn()
    parts = await read(Live(asyncio.Event()), "a", drawn)
    assert [html for name, html in parts if name == "still"] == ["same"]
    moving = [html for name, html in parts if name == "moving"]
    assert len(set(moving)) == len(moving) > 1


async def test_all_who_see_the_same_get_what_was_drawn_once() -> None:
    streams, drawn = Live(asyncio.Event()), Drawn()
    read_by = await asyncio.gather(*(read(streams, "same", drawn) for _ in range(100)))
    assert all(parts[0] == ("moving", "1\n<b>") for parts in read_by)
    assert drawn.times < 2 * max(len(parts) for parts in read_by)


async def test_others_see_their_own() -> None:
    streams, one, other = Live(asyncio.Event()), Drawn(), Drawn()
    await asyncio.gather(read(streams, "one", one), read(streams, "other", other))
    assert one.times
    assert other.times


async def test_nothing_is_drawn_or_kept_while_nobody_looks() -> None:
    streams, drawn = Live(asyncio.Event()), Drawn()
    await read(streams, "left", drawn)
    before = drawn.times

    async def forgotten() -> bool:
        await read(streams, "another", Drawn())
        return "left" not in streams._drawn

    await until(forgotten, "the page at which nobody looks to be forgotten")
    assert drawn.times == before


async def test_a_stop_ends_all_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STREAM_SECONDS", 3600.0)
    stop = asyncio.Event()
    streams = Live(stop)
    reading = [asyncio.create_task(read(streams, "a", Drawn())) for _ in range(3)]

    async def begun() -> bool:
        return "a" in streams._drawn

    await until(begun, "the streams to begin")
    stop.set()
    await asyncio.wait_for(asyncio.gather(*reading), 30)
