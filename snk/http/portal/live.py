"""Keeps pages up to date by Server-Sent Events: a stream of the parts that have changed.

Each stream ends after some seconds, and the browser opens the next one: connections of a service are short, and a
browser that has gone away holds nothing for long. While nobody looks, nothing is drawn; of all who look at the same
page, one draws it and the others get the same. A page that takes long to draw is drawn less often.

Source of the format: WHATWG, "HTML", 9.2, server-sent events.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import orjson

from snk.pause import pause

EVERY_SECONDS = 1.0
MOST_SECONDS = 5.0
"""Between two drawings of a page that takes long to draw."""
SHARE = 0.01
"""Of the time, so much is spent on drawing a page at most, as far as the bounds above allow."""
STREAM_SECONDS = 8.0
AGAIN_MS = 200
"""How soon a browser opens the next stream."""

Draw = Callable[[], Awaitable[Mapping[str, str]]]


@dataclass(slots=True)
class _Drawn:
    """The parts of one page as they were drawn last.

    Attributes:
        at: when that was.
        seconds: how long they can be shown.
    """

    at: float = float("-inf")
    seconds: float = 0.0
    events: Mapping[str, bytes] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Live:
    """The streams of a site.

    Args:
        stop: ends all streams.
    """

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._drawn: dict[str, _Drawn] = {}

    async def stream(self, key: str, draw: Draw) -> AsyncIterator[bytes]:
        """The events of one stream.

        Args:
            key: the same for all who see the same.
            draw: the parts of the page, by their names.
        """
        yield b"retry: %d\n\n" % AGAIN_MS
        sent: Mapping[str, bytes] = {}
        end = time.monotonic() + STREAM_SECONDS
        while not self._stop.is_set() and time.monotonic() < end:
            events = await self._events(key, draw)
            if changed := b"".join(event for name, event in events.items() if sent.get(name) != event):
                yield changed
            sent = events
            await pause(self._stop, EVERY_SECONDS)

    async def _events(self, key: str, draw: Draw) -> Mapping[str, bytes]:
        drawn = self._drawn.setdefault(key, _Drawn())
        async with drawn.lock:
            began = time.monotonic()
            if began - drawn.at > drawn.seconds * 0.9:
                drawn.events = {name: _event(name, text) for name, text in (await draw()).items()}
                drawn.at = time.monotonic()
                drawn.seconds = shown_seconds(drawn.at - began)
                self._forget()
        return drawn.events

    def _forget(self) -> None:
        """Keep nothing of pages at which nobody looks any more."""
        before = time.monotonic() - STREAM_SECONDS
        for key in [key for key, drawn in self._drawn.items() if drawn.at < before and not drawn.lock.locked()]:
            del self._drawn[key]


def _event(name: str, text: str) -> bytes:
    return b"event: part\ndata: %b\n\n" % orjson.dumps({"name": name, "html": text})


def shown_seconds(took_seconds: float) -> float:
    """How long a page is shown that took so long to draw. Pure."""
    return min(max(took_seconds / SHARE, EVERY_SECONDS), MOST_SECONDS)
