"""Redis behind the set in memory, so that a restarted daemon still knows its own rows.

Nothing waits for Redis: batches are written behind in the background, and most are met again before they were ever
sent. One hash per table and database holds a field per batch, the uuids end to end, 16 bytes each. The key names the
server's start, so notes of an earlier start are never read, and expires a day after it was last used.

No decision rests on what Redis says: what it returns at a start is looked up in the database it speaks of, and only
uuids that are really there are taken up. It may lie, lose everything, refuse to write, or never answer; then it says
so, and goes on.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Self, TypeVar
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from snk.log import Reminder
from snk.pair.dedup.dedup_set import DedupSet

DAY_SECONDS = 86_400
FLUSH_SECONDS = 0.1
RETRY_SECONDS = 2.0
# Rows wait for what Redis remembers, and for the database to look it up, once for each start of their server; so they
# wait no longer than this. What is not known again by then costs an insert that the unique key refuses.
RESTORE_SECONDS = 0.5
SCANNED = 10  # batches in one answer
LOOKED_UP = 1000  # uuids in one question
STOP_SECONDS = 1.0
NOT_ASKED = "not asked yet"
UUID_BYTES = 16
PROOF = "0"  # no batch has this number

Answer = TypeVar("Answer")
Holds = Callable[[Sequence[str]], Awaitable[frozenset[str]]]
"""Which of some uuids the database really holds."""

log = structlog.get_logger()


class RedisStore:
    """Writes the notes of every `DedupSet` behind to one Redis.

    Attributes:
        error: why Redis is not there, or an empty string where it is.
    """

    def __init__(self, dsn: str) -> None:
        self.error = NOT_ASKED
        self._redis = client(dsn)
        self._reminder = Reminder()
        self._told = False
        self._sets: dict[str, DedupSet] = {}
        self._stale: set[str] = set()
        self._closed = False

    def attach(self, name: str, known: DedupSet) -> None:
        """Keep this set in Redis too, under this name."""
        self._sets[name] = known

    async def restore(self, name: str, holds: Holds) -> int:
        """Add to an anchored set what Redis remembers and the database confirms, as far as both do so in time.

        Returns:
            How many notes were taken up.
        """
        known, until = self._sets[name], time.monotonic() + RESTORE_SECONDS
        restored = 0
        async for uuids in self._remembered(name, until):
            held = await holds(uuids)
            known.restore([uuid for uuid in uuids if uuid in held])
            restored += len(held)
            if restored >= known.most or time.monotonic() > until:
                break
        if restored:
            self._stale.add(name)  # the batches have other numbers now
        return restored

    def close(self) -> None:
        """Have `run` end soon: before Python 3.12 a cancellation can get lost on the way through redis-py."""
        self._closed = True

    async def run(self) -> None:
        """Write behind until closed."""
        asked = False
        while not self._closed:
            try:
                if not asked:
                    await answered(self._redis.ping())
                    asked = True
                for name, known in self._sets.items():
                    await self._flush(name, known)
                self._worked()
                await asyncio.sleep(FLUSH_SECONDS)
            except (RedisError, OSError) as error:
                self._failed(error)
                await asyncio.sleep(RETRY_SECONDS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Write what is left, if Redis is there, and hang up, soon."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                for name, known in self._sets.items():
                    await self._flush(name, known)
        except (RedisError, OSError) as error:
            self._failed(error)
        finally:
            with suppress(RedisError, OSError):
                await self._redis.aclose()

    async def _remembered(self, name: str, until: float) -> AsyncIterator[list[str]]:
        """What Redis remembers, a little at a time, as far as it tells until a monotonic time."""
        cursor, more = 0, True
        while more:
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    cursor, fields = await answered(self._redis.hscan(self._key(name), cursor, count=SCANNED))
            except (RedisError, OSError) as error:
                if time.monotonic() < until:  # or else it is the database that took its time
                    self._failed(error)
                return
            for uuids in _readable(fields):
                for at in range(0, len(uuids), LOOKED_UP):
                    yield uuids[at : at + LOOKED_UP]
            more = bool(cursor)

    async def _flush(self, name: str, known: DedupSet) -> None:
        if name in self._stale:
            added, dropped = known.batches(), set[int]()
        else:
            added, dropped = dict(known.added), set(known.dropped)
        if not known.boot or not (added or dropped or name in self._stale):
            return
        key = self._key(name)
        known.added.clear()
        known.dropped.clear()
        commands = self._redis.pipeline(transaction=False)
        if name in self._stale:
            commands.delete(key)
            # A Redis that is full, or a replica, reads and may delete; only this shows that it takes notes again.
            commands.hset(key, PROOF, b"")
            commands.hdel(key, PROOF)
        if added:
            commands.hset(key, mapping={str(number): _packed(uuids) for number, uuids in added.items()})
        if dropped:
            commands.hdel(key, *(str(number) for number in dropped))
        commands.expire(key, DAY_SECONDS)
        try:
            await answered(commands.execute())
        except (RedisError, OSError):
            self._stale.add(name)
            raise
        self._stale.discard(name)

    def _key(self, name: str) -> str:
        return key_of(name, self._sets[name].boot)

    def _failed(self, error: Exception) -> None:
        """Redis is away: whatever it holds may be old when it returns, so it is written afresh then."""
        self.error = str(error) or "no answer in time"
        self._stale.update(self._sets)
        if self._reminder.due("lost"):
            self._told = True
            log.warning("redis_lost", error=self.error, effect="rows are recognised from memory only")

    def _worked(self) -> None:
        if self.error and self._told:
            log.info("redis_found")
            self._told = False
        self.error = ""


def client(dsn: str) -> Redis:
    """A connection to be: what fails is not tried again by itself, but here, and told of before."""
    return Redis.from_url(
        dsn,
        socket_timeout=RETRY_SECONDS,
        socket_connect_timeout=RETRY_SECONDS,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
    )


def key_of(name: str, boot: str) -> str:
    """Under which key Redis keeps the notes of a boot."""
    return f"snk:known:{name}:{hashlib.sha256(boot.encode()).hexdigest()[:16]}"


async def answered(question: Awaitable[Answer]) -> Answer:
    """What Redis answers. A connection that was reset since the last question is a RuntimeError to uvloop."""
    try:
        return await question
    except RuntimeError as error:
        raise ConnectionResetError(str(error)) from error


def _packed(uuids: Sequence[str]) -> bytes:
    return bytes.fromhex("".join(uuids).replace("-", ""))


def _readable(fields: Any) -> list[list[str]]:
    """The batches among the fields of a hash; what is not of our making is passed over."""
    return [
        [str(UUID(bytes=blob[at : at + UUID_BYTES])) for at in range(0, len(blob), UUID_BYTES)]
        for number, blob in fields.items()
        if number.isdigit() and len(blob) % UUID_BYTES == 0
    ]
