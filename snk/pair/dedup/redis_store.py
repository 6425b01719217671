"""Copies the dedup sets to Redis, so that a restarted daemon still recognises its own rows.

No flow waits for Redis. A background task writes batches to it; most are matched before they are ever sent. There is
one hash per table and database, with one field per batch: the uuids end to end, 16 bytes each. The key contains the
server's boot, so entries of an earlier boot are never read. It expires a day after its last use.

SNK never trusts what Redis returns: at a start, it looks the uuids up in their database and restores only those that
exist there. Redis may return stale data, lose everything, refuse writes or hang; SNK logs that and continues.
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
# Once for each boot of their server, rows wait until Redis has returned its entries and the database has looked them
# up. This limits the wait. Each entry not restored by then costs an insert that the unique key refuses.
RESTORE_SECONDS = 0.5
AT_ONCE = 8  # flows that are answered
TURN_SECONDS = 2.0  # until it is a flow's turn to be answered, if there are hundreds
SCANNED = 10  # batches in one answer
LOOKED_UP = 1000  # uuids in one query
STOP_SECONDS = 1.0
NOT_ASKED = "not asked yet"
UUID_BYTES = 16
PROOF = "0"  # no batch has this number

Answer = TypeVar("Answer")
Holds = Callable[[Sequence[str]], Awaitable[frozenset[str]]]
"""Returns those of the given uuids that the database holds."""

log = structlog.get_logger()


class RedisStore:
    """Writes the entries of every `DedupSet` to one Redis, in the background.

    Attributes:
        error: why Redis is unavailable, or an empty string if it is available.
    """

    def __init__(self, dsn: str) -> None:
        self.error = NOT_ASKED
        self._redis = client(dsn)
        self._reminder = Reminder()
        self._told = False
        self._sets: dict[str, DedupSet] = {}
        self._stale: set[str] = set()
        self._touched: set[str] = set()
        self._few = asyncio.Semaphore(AT_ONCE)
        self._closed = False

    def attach(self, name: str, known: DedupSet) -> None:
        """Copy this set to Redis under this name."""
        self._sets[name] = known
        known.touched = lambda: self._touched.add(name)

    def detach(self, name: str) -> None:
        """Copy this set no longer; what Redis has of it expires."""
        self._sets.pop(name, None)
        self._stale.discard(name)

    async def restore(self, name: str, holds: Holds) -> int:
        """Add to an anchored set the entries that Redis holds and the database confirms, as far as both answer in time.

        Returns:
            How many entries were restored.
        """
        asked = time.monotonic()
        async with self._few:
            return await self._restored(name, holds) if time.monotonic() - asked < TURN_SECONDS else 0

    async def _restored(self, name: str, holds: Holds) -> int:
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
        """Make `run` end soon: before Python 3.12, a cancellation can get lost inside redis-py."""
        self._closed = True

    async def run(self) -> None:
        """Write to Redis in the background until closed."""
        asked = False
        while not self._closed:
            try:
                if not asked:
                    await answered(self._redis.ping())
                    asked = True
                touched, self._touched = self._touched | self._stale, set()
                for name in touched:
                    if (known := self._sets.get(name)) is not None:  # it may be detached meanwhile
                        await self._flush(name, known)
                self._worked()
                await asyncio.sleep(FLUSH_SECONDS)
            except (RedisError, OSError) as error:
                self._failed(error)
                await asyncio.sleep(RETRY_SECONDS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Write what is left, if Redis is available, and close the connection, within `STOP_SECONDS`."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                for name, known in list(self._sets.items()):
                    await self._flush(name, known)
        except (RedisError, OSError) as error:
            self._failed(error)
        finally:
            with suppress(RedisError, OSError):
                await self._redis.aclose()

    async def _remembered(self, name: str, until: float) -> AsyncIterator[list[str]]:
        """The uuids that Redis holds, in parts, as far as it returns them before ``until`` on the monotonic clock."""
        cursor, more = 0, True
        while more:
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    cursor, fields = await answered(self._redis.hscan(self._key(name), cursor, count=SCANNED))
            except (RedisError, OSError) as error:
                if time.monotonic() < until:  # otherwise the database was slow, not Redis
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
            # A full Redis and a replica still answer reads and may delete; only this proves that Redis accepts writes.
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
        """Record that Redis is unavailable. Its entries may be stale when it returns, so all are then rewritten."""
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
    """A client that connects on first use. It does not retry by itself: `RedisStore` logs a failure, then retries."""
    return Redis.from_url(
        dsn,
        socket_timeout=RETRY_SECONDS,
        socket_connect_timeout=RETRY_SECONDS,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
    )


def key_of(name: str, boot: str) -> str:
    """The key under which Redis holds the entries of a boot."""
    return f"snk:known:{name}:{hashlib.sha256(boot.encode()).hexdigest()[:16]}"


async def answered(question: Awaitable[Answer]) -> Answer:
    """Redis's answer. If the connection was reset since the last command, uvloop raises a RuntimeError."""
    try:
        return await question
    except RuntimeError as error:
        raise ConnectionResetError(str(error)) from error


def _packed(uuids: Sequence[str]) -> bytes:
    return bytes.fromhex("".join(uuids).replace("-", ""))


def _readable(fields: Any) -> list[list[str]]:
    """The batches among the fields of a hash; fields that SNK did not write are ignored."""
    return [
        [str(UUID(bytes=blob[at : at + UUID_BYTES])) for at in range(0, len(blob), UUID_BYTES)]
        for number, blob in fields.items()
        if number.isdigit() and len(blob) % UUID_BYTES == 0
    ]
