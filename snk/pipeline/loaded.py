"""Tells what the receiving server accepted from what its database holds, where the server offers a digest.

Digests are sums, so one question covers many frames; only if it does not fit is it asked about their halves.
"""

import asyncio
import json
import random
from contextlib import suppress
from time import monotonic
from urllib.parse import quote

import structlog
from yarl import URL

from snk.core.canonical import Digest
from snk.core.intervals import NOTHING, Intervals
from snk.http.auth.credentials import Credentials
from snk.http.client import Client, NoAnswer, Request
from snk.http.origin import origin_of
from snk.pause import pause
from snk.pipeline import space as spaces
from snk.pipeline.frame import Portion
from snk.pipeline.proof import Proofs, combined
from snk.pipeline.space import Space
from snk.pipeline.troubles import Failing

NAME = "loaded.json"
MOST_AT_ONCE = 60
EVERY_SECONDS = 1.0
OK = 200

log = structlog.get_logger()


class NoDigest(Exception):  # noqa: N818 - what it means is the caller's business
    """The server did not tell its digest."""


class Asked:
    """The question for the digest of what a server's database holds from one moment to another."""

    def __init__(self, url: str, credentials: Credentials, seconds: float) -> None:
        """Assign.

        Args:
            url: with ``{start}`` and ``{end}``.
            credentials: what is presented to the server.
            seconds: until an answer must be there.
        """
        self._url = url
        self._credentials = credentials
        self._seconds = seconds
        self._client = Client(origin_of(URL(url.format(start="", end=""))), 1, {})

    async def digest(self, start: str, end: str) -> Digest:
        """Count and digest from ``start`` to before ``end``.

        Raises:
            NoDigest: the server did not tell them.
        """
        url = URL(self._url.format(start=quote(start, safe=":"), end=quote(end, safe=":")), encoded=True)
        authorization = self._credentials.header()
        headers = (("Authorization", authorization),) if authorization else ()
        try:
            answer = await self._client.send(Request("GET", url.raw_path_qs, headers=headers), self._seconds)
        except NoAnswer as error:
            raise NoDigest(str(error)) from None
        if answer.status != OK:
            raise NoDigest(f"it answers {answer.status}: {answer.text}")
        try:
            told = json.loads(answer.body)
            return Digest(int(told["count"]), int(told["digest"], 16))
        except (ValueError, KeyError, TypeError):
            raise NoDigest(f"it tells no count and digest: {answer.text}") from None

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()


class Loaded:
    """The frames that the database of the receiving server holds.

    Attributes:
        frames: their numbers.
        trouble: why the server cannot be asked; empty if it can.
        unequal: frames that it does not hold, or not as they were sent, when last asked.
    """

    def __init__(self, space: Space, asked: Asked) -> None:
        self.frames = NOTHING
        self.trouble = ""
        self.unequal = Failing(most_seconds=60.0)
        self._space = space
        self._asked = asked
        self._supplements: frozenset[Portion] = frozenset()

    def load(self) -> None:
        """Read what was known when the last run ended."""
        self.frames = read_loaded(self._space)

    async def run(self, proofs: Proofs, stop: asyncio.Event) -> None:
        """Ask until told to stop, or cancelled: an answer may take long."""
        try:
            while not stop.is_set():
                await self._ask(proofs)
                await pause(stop, EVERY_SECONDS)
        finally:
            await self._asked.close()

    async def _ask(self, proofs: Proofs) -> None:
        """Ask once about all frames of which it is not known."""
        before = self.frames
        self._forget(proofs)
        candidates = proofs.frames.above(proofs.floor - 1) - self.frames - self.unequal.held(monotonic())
        for low, high in candidates.pairs:
            for at in range(low, high + 1, MOST_AT_ONCE):
                await self._compare(proofs, at, min(high + 1, at + MOST_AT_ONCE))
        if self.frames != before:
            with suppress(OSError):
                await asyncio.to_thread(_write, self._space, self.frames)

    def _forget(self, proofs: Proofs) -> None:
        """Ask again about frames that got a supplement."""
        new = proofs.supplements - self._supplements
        self._supplements = proofs.supplements
        self.frames = self.frames.without(portion.frame for portion in new)

    async def _compare(self, proofs: Proofs, low: int, high: int) -> None:
        """Compare the frames from ``low`` to before ``high``, and halves of them where they differ."""
        grid = self._space.grid
        ours = combined(done for parts in proofs.between(low, high).values() for done in parts)
        try:
            theirs = await self._asked.digest(grid.iso(low), grid.iso(high))
        except NoDigest as error:
            if not self.trouble:
                log.warning("digest_unknown", reason=str(error))
            self.trouble = f"the receiving server cannot be asked what its database holds: {error}"
            return
        self.trouble = ""
        if theirs == ours:
            self.frames |= Intervals(((low, high - 1),))
            for frame in range(low, high):
                self.unequal.over(frame)
        elif high - low > 1:
            middle = (low + high) // 2
            await self._compare(proofs, low, middle)
            await self._compare(proofs, middle, high)
        else:
            reason = f"{theirs.count} records in the database, {ours.count} sent"
            if theirs.count == ours.count:
                reason = "records in the database differ from those sent"
            self.unequal.failed(low, reason, monotonic(), random.random())  # noqa: S311 - jitter


def read_loaded(space: Space) -> Intervals:
    """The frames that were found in the receiving server's database; those with supplements are asked about again."""
    grid = space.grid
    with suppress(OSError, ValueError, KeyError, TypeError):
        pairs = json.loads((space.rss / NAME).read_bytes())["frames"]
        found = [(grid.portion(low), grid.portion(high)) for low, high in pairs]
        return Intervals.of((low.frame, high.frame) for low, high in found if low and high)
    return NOTHING


def _write(space: Space, frames: Intervals) -> None:
    grid = space.grid
    pairs = [(grid.name(Portion(low)), grid.name(Portion(high))) for low, high in frames.pairs]
    spaces.replace(space.rss / NAME, json.dumps({"frames": pairs}).encode())
