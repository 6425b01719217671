"""The data of the backend for tests and the demo, in PostgreSQL, and the rules by which a request changes them.

A removed key keeps its version, and so does one that was removed before it was ever there: otherwise an older write
that arrives late would bring it back. Members of sets and sorted sets are keys of their table.
"""

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from snk.handoff import record as r
from snk.handoff.asked import Asked
from snk.handoff.codecs.hustdb import METHODS

_TYPES = {
    **dict.fromkeys((r.HSET, r.HDEL), "hash"),
    **dict.fromkeys((r.SADD, r.SREM), "set"),
    **dict.fromkeys((r.ZADD, r.ZREM), "sorted set"),
    **dict.fromkeys((r.TB_PUT, r.TB_UPDATE, r.TB_DELETE), "table"),
}
"""The type that a table must have for a method, and gets by the first write; it keeps it for ever."""
_SCORES = 2**64

METADATA = sa.MetaData()
ENTRY = sa.Table(
    "entry",
    METADATA,
    sa.Column("tb", sa.LargeBinary, primary_key=True),
    sa.Column("key", sa.LargeBinary, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("value", sa.LargeBinary),
    sa.Column("score", sa.Numeric(20, 0), nullable=False),
    sa.Column("ttl", sa.BigInteger, nullable=False),
)
KIND = sa.Table(
    "kind",
    METADATA,
    sa.Column("tb", sa.LargeBinary, primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
)

_BYTES = sa.ARRAY(sa.LargeBinary)
_wanted = (
    sa.func.unnest(sa.bindparam("tables", type_=_BYTES), sa.bindparam("keys", type_=_BYTES))
    .table_valued("tb", "key")
    .render_derived("wanted")
)
WANTED = sa.select(ENTRY).join_from(_wanted, ENTRY, (ENTRY.c.tb == _wanted.c.tb) & (ENTRY.c.key == _wanted.c.key))
_saved = insert(ENTRY)
SAVED = _saved.on_conflict_do_update(
    index_elements=[ENTRY.c.tb, ENTRY.c.key],
    set_={name: _saved.excluded[name] for name in ("version", "value", "score", "ttl")},
)
LIVES = ENTRY.c.value.is_not(None) & ((ENTRY.c.ttl == 0) | (ENTRY.c.ttl > sa.bindparam("now", type_=sa.BigInteger)))

Place = tuple[bytes, bytes]
"""A table and a key."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one key.

    Attributes:
        version: 0 if it was never there.
        value: None if it is not there.
        ttl: when it expires, in seconds since the epoch; 0 means never.
    """

    version: int = 0
    value: bytes | None = None
    score: int = 0
    ttl: int = 0

    def lives(self, now: float) -> bool:
        """Whether it is there."""
        return self.value is not None and (not self.ttl or self.ttl > now)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Attributes:
        version: of the key; None if the answer says nothing about it.
        stale: whether the version that was brought is lower, so that nothing changed.
    """

    status: int
    version: int | None = None
    stale: bool = False


def changed(entry: Entry, request: Asked, now: float) -> tuple[Entry, Reply]:
    """What a request makes of a key.

    A write that brings no version makes the next one. One that brings version 0 leaves the version as it is, so that it
    can be repeated.
    """
    record, live = request.record, entry.lives(now)
    removes = METHODS[record.method].removes
    absent = removes and not live
    status = 404 if absent else 200
    if request.is_dup and 0 < record.ver < entry.version:
        return entry, Reply(status, entry.version, stale=True)
    version = (record.ver or entry.version) if request.is_dup else entry.version + (not absent)
    if removes:
        return Entry(version), Reply(status, version)
    score = (record.score + (entry.score if record.opt and live else 0)) % _SCORES
    return Entry(version, record.value, score, record.ttl), Reply(status, version)


class Data:
    """The data of one backend, of which nobody else writes them.

    Args:
        database: the URL of an empty database, or of one that a backend has used before.
    """

    def __init__(self, database: str) -> None:
        self._engine = create_async_engine(
            "postgresql+asyncpg://", pool_size=2, hide_parameters=True, connect_args={"dsn": database}
        )
        self._kinds: dict[bytes, str] = {}

    async def open(self) -> None:
        """Create the tables unless they are there."""
        async with self._engine.begin() as connection:
            await connection.run_sync(METADATA.create_all)
            self._kinds = {row.tb: row.type for row in await connection.execute(sa.select(KIND))}

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    async def apply(self, requests: Sequence[Asked]) -> list[Reply]:
        """Apply requests in this order, in one transaction, and return what to answer when it is on disk.

        Raises:
            SQLAlchemyError: the database failed.
            OSError: it cannot be reached.
        """
        now, kinds = time.time(), dict(self._kinds)
        async with self._engine.begin() as connection:
            before = await _entries(connection, {(each.record.tb, each.record.key) for each in requests})
            after = dict(before)
            replies = [_apply(after, kinds, each, now) for each in requests]
            if rows := [_row(place, entry) for place, entry in after.items() if before.get(place) != entry]:
                await connection.execute(SAVED, rows)
            if made := [{"tb": tb, "type": kind} for tb, kind in kinds.items() if tb not in self._kinds]:
                await connection.execute(sa.insert(KIND), made)
        self._kinds = kinds
        return replies

    async def entries(self) -> dict[Place, Entry]:
        """What is known of every key, also of those that are not there any more."""
        async with self._engine.connect() as connection:
            return _by_place(await connection.execute(sa.select(ENTRY)))

    async def digest(self) -> str:
        """A check sum of all that is there, the same wherever the same is there; times to live are left out."""
        total = hashlib.sha256()
        wanted = sa.select(ENTRY).where(LIVES).order_by(ENTRY.c.tb, ENTRY.c.key)
        async with self._engine.connect() as connection:
            async for row in await connection.stream(wanted, {"now": int(time.time())}):
                total.update(repr((row.tb, row.key, row.version, row.value, int(row.score))).encode())
        return total.hexdigest()


def _apply(entries: dict[Place, Entry], kinds: dict[bytes, str], request: Asked, now: float) -> Reply:
    """Apply a request to what is in memory."""
    record = request.record
    kind = _TYPES.get(record.method)
    if kind and kinds.get(record.tb, kind) != kind:
        return Reply(412)
    place = (record.tb, record.key)
    entries[place], reply = changed(entries.get(place, Entry()), request, now)
    if kind and not METHODS[record.method].removes:
        kinds[record.tb] = kind
    return reply


async def _entries(connection: AsyncConnection, places: set[Place]) -> dict[Place, Entry]:
    tables, keys = zip(*places, strict=True)
    return _by_place(await connection.execute(WANTED, {"tables": tables, "keys": keys}))


def _by_place(rows: Iterable[Any]) -> dict[Place, Entry]:
    return {(row.tb, row.key): Entry(row.version, row.value, int(row.score), row.ttl) for row in rows}


def _row(place: Place, entry: Entry) -> dict[str, Any]:
    now = {"version": entry.version, "value": entry.value, "score": entry.score, "ttl": entry.ttl}
    return {"tb": place[0], "key": place[1], **now}
