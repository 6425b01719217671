"""Clients that write as fast as they can, and keep books of what the front said is written."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from snk.handoff import record as r
from snk.handoff.client import BackendClient
from snk.handoff.codecs.hustdb import METHODS, HustdbWrite
from snk.handoff.record import Record
from snk.http.client import NoAnswer

CLIENTS = 16
KEYS = 25
"""Of each client and kind."""
REMOVALS = 0.25
ANSWER_SECONDS = 10.0
RETRY_SECONDS = 0.05
GIVE_UP_SECONDS = 30.0
MOST_SCORE = 1000
TTLS = (0, 2 * 3600, 24 * 3600)
OK, DEFECT = 200, 500
Place = tuple[bytes, bytes]
"""A table and a key."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of data, and how it is changed."""

    table: bytes
    writes: tuple[int, ...]
    removal: int


KINDS = (
    Kind(b"", (r.PUT,), r.DEL),
    Kind(b"hash", (r.HSET,), r.HDEL),
    Kind(b"set", (r.SADD,), r.SREM),
    Kind(b"ranks", (r.ZADD,), r.ZREM),
    Kind(b"table", (r.TB_PUT, r.TB_UPDATE), r.TB_DELETE),
)


class NotWritten(Exception):  # noqa: N818 - it is a finding, not a fault of the program
    """A write that is allowed was refused, or was not taken in time."""


@dataclass(frozen=True, slots=True)
class Known:
    """What was written last to a key.

    Attributes:
        value: None if it was removed.
    """

    version: int
    value: bytes | None
    score: int


@dataclass(slots=True)
class Writer:
    """The clients. Each has keys of its own, and sends a write until it is taken, always with the same version.

    Attributes:
        front: the address of the front.
        books: what is written, by table and key.
        written: how many writes are written.
        handed_off: how many of them a backend missed, so that they were handed off.
        missed: how many of those, by backend.
        again: how many answers said that a write was not taken, so that it was sent again.
        perhaps: how many of them said that it may be written nevertheless, and was handed off to all backends.
        lost: how many answers never came.
        amiss: writes that were refused, or not taken in time; their clients stopped.
    """

    front: str
    books: dict[Place, Known] = field(default_factory=dict)
    written: int = 0
    handed_off: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    again: int = 0
    perhaps: int = 0
    lost: int = 0
    amiss: list[str] = field(default_factory=list)
    _stopped: bool = False

    async def run(self) -> None:
        """Write until told to stop."""
        client = BackendClient(self.front, CLIENTS, None)
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(CLIENTS):
                    group.create_task(self._client(client, number))
        finally:
            await client.close()

    def stop(self) -> None:
        """Finish the writes that are under way, and begin no others."""
        self._stopped = True

    async def _client(self, client: BackendClient, number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - it chooses what to write
        while not self._stopped:
            record = self._next(number, chance)
            try:
                await self._write(client, HustdbWrite(record))
            except NotWritten as error:
                self.amiss.append(str(error))
                return
            method = METHODS[record.method]
            value = None if method.removes else record.value if method.body == "value" else record.key
            self.books[record.tb, record.key] = Known(record.ver, value, record.score)

    def _next(self, number: int, chance: random.Random) -> Record:
        """The next write of a client."""
        kind = chance.choice(KINDS)
        key = f"client {number}/é{chance.randrange(KEYS)}".encode()
        known = self.books.get((kind.table, key))
        version = known.version + 1 if known else 1
        if chance.random() < REMOVALS:
            return Record(kind.removal, version, key, tb=kind.table)
        method = chance.choice(kind.writes)
        ttl = chance.choice(TTLS)
        return Record(
            method,
            version,
            key,
            ttl=int(time.time()) + ttl if ttl and "ttl" in METHODS[method].arguments else 0,
            tb=kind.table,
            score=chance.randrange(MOST_SCORE) if method == r.ZADD else 0,
            value=chance.randbytes(chance.randrange(1, 200)) if METHODS[method].body == "value" else b"",
        )

    async def _write(self, client: BackendClient, write: HustdbWrite) -> None:
        """Send a write until it is taken."""
        end = time.monotonic() + GIVE_UP_SECONDS
        while not await self._taken(client, write):
            if time.monotonic() > end:
                raise NotWritten(f"{write.shown(values=False)} was not taken within {GIVE_UP_SECONDS:.0f} s")
            self.again += 1
            await asyncio.sleep(RETRY_SECONDS)

    async def _taken(self, client: BackendClient, write: HustdbWrite) -> bool:
        request = write.request(time.time())
        assert request is not None  # noqa: S101 - it lives for hours
        try:
            answer = await client.send(request, ANSWER_SECONDS)
        except NoAnswer as error:
            self.lost += error.sent
            return False
        if answer.status >= DEFECT:
            self.perhaps += answer.text.startswith("perhaps")
            return False
        if answer.status != OK:
            raise NotWritten(f"the front answers {answer.status} {answer.text!r} to {write.shown(values=False)}")
        self.written += 1
        if missing := answer.headers.get("Sync"):
            self.handed_off += 1
            self.missed.update(missing.split(","))
        return True
