"""Looking a pair over before the first run: what is wrong, what will be slow, what tailing cannot see."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from redis.asyncio import Redis
from redis.exceptions import RedisError

from snk.db import catalog, schema
from snk.db.catalog import ServerFacts
from snk.db.engine import Server
from snk.db.fitness import same_database
from snk.db.identifiers import identifier
from snk.db.pooler import refuse_shared_sessions
from snk.db.shape import Shape, differences, faults
from snk.errors import SnkError, TableUnfit
from snk.sync.link import twice
from snk.sync.pair import Pair
from snk.sync.prepare import missing

OLDEST = 140_000
LONG_SECONDS = 60.0
CLOCK_SECONDS = 1.0

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's.

    Attributes:
        level: ``error`` keeps SNK from running; a ``warning`` is to be known.
        subject: what was looked at, such as ``first`` or ``public.records``.
        message: what was found.
        advice: what to do about it, or an empty string.
    """

    level: Level
    subject: str
    message: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Looked:
    """One server that could be reached, and its tables by their names in the settings."""

    server: Server
    facts: ServerFacts
    shapes: Mapping[str, Shape]


async def examine(pair: Pair, redis_dsn: str) -> AsyncIterator[Finding]:
    """Everything that can be said of a pair, one finding after the other; nothing is changed."""
    found: list[Looked] = []
    for server in (pair.first, pair.second):
        shapes: dict[str, Shape] = {}
        try:
            facts = await _facts(server)
            yield Finding("ok", server.label, f"PostgreSQL {facts.version} answers at {server.address}")
            for finding in _of_server(server.label, facts):
                yield finding
            async for finding in _of_schema(server):
                yield finding
            for table in pair.tables:
                try:
                    shape = await _shape(server, table)
                except TableUnfit as error:
                    yield Finding("error", table, error.args[0], error.hint)
                    continue
                shapes[table] = shape
                async for finding in _of_table(server, shape):
                    yield finding
            found.append(Looked(server, facts, shapes))
        except SnkError as error:
            yield Finding("error", server.label, error.args[0], error.hint or "It is to be reachable from here")
    if len(found) == 2:  # noqa: PLR2004 - first and second
        async for finding in _of_pair(*found):
            yield finding
    yield await _of_redis(redis_dsn)


async def _facts(server: Server) -> ServerFacts:
    await refuse_shared_sessions(server)
    async with server.connect() as connection:
        return await catalog.server_facts(connection)


async def _shape(server: Server, table: str) -> Shape:
    async with server.begin() as connection:
        return await catalog.table_shape(connection, table, server.label)


def _of_server(label: str, facts: ServerFacts) -> Iterator[Finding]:
    if facts.number < OLDEST:
        yield Finding("error", label, f"PostgreSQL {facts.version} is too old", "SNK needs 14 or newer")
    if facts.standby:
        yield Finding("error", label, "it is a standby", "Only a primary can be tailed and written")
    off = abs((datetime.now(UTC) - facts.clock).total_seconds())
    if off > CLOCK_SECONDS:
        advice = "SNK does not rely on clocks, but people who read its times do"
        yield Finding("warning", label, f"its clock and this machine's are {off:.1f} s apart", advice)


async def _of_schema(server: Server) -> AsyncIterator[Finding]:
    async with server.connect() as connection:
        # Without USAGE nobody can tell what is in the schema.
        refused = await catalog.rights_lacking(connection, schema.SCHEMA)
        hidden = any(right.startswith("USAGE on schema") for right in refused)
        lacking = [] if hidden else await missing(connection, default_table=False)
    if lacking:
        what = f"its schema {schema.SCHEMA}" if schema.SCHEMA in lacking else ", ".join(lacking)
        advice = "Run `snk init`; where this role may not, an owner runs what `snk init --print --role NAME` prints"
        yield Finding("error", server.label, f"{what} missing", advice)
    elif refused:
        advice = "GRANT them to this role; `snk init --print --role NAME` prints how"
        yield Finding("error", server.label, f"rights missing in SNK's schema: {', '.join(refused)}", advice)
    else:
        yield Finding("ok", server.label, "SNK's schema is there")


async def _of_table(server: Server, shape: Shape) -> AsyncIterator[Finding]:
    wrong = list(faults(shape, server.label))
    for fault in wrong:
        yield Finding("error", shape.full_name, fault.args[0], fault.hint)
    if wrong:
        return
    yield Finding("ok", shape.full_name, f"{server.label}: {len(shape.copied)} columns are copied")
    sequence = shape.id_column.sequence
    if sequence and sequence.cache > 1:
        message = f"{server.label}: sequence {sequence.name} has CACHE {sequence.cache}"
        message += ", so ids drawn in one transaction may be used in a later one, out of reach of tailing"
        yield Finding("warning", shape.full_name, message, f"ALTER SEQUENCE {sequence.name} CACHE 1")
    async with server.connect() as connection:
        for key, target in await catalog.keys_onto_ids(connection, shape.oid):
            message = (
                f"{server.label}: foreign key {key} refers to ids of {target}, and the same id is another row there"
            )
            yield Finding("warning", shape.full_name, message, "Refer to the uuid: each side counts ids for itself")
        names = await catalog.writers(connection, shape.lockable)
        for blocker in await catalog.blockers(connection, shape.lockable, names):
            if (blocker.age_seconds or 0.0) > LONG_SECONDS:
                who = f"pid {blocker.pid} of {blocker.user} ({blocker.application})"
                who = f"prepared transaction {blocker.prepared}" if blocker.prepared else who
                message = f"{server.label}: {who} has been open for {blocker.age_seconds:.0f} s"
                yield Finding("warning", shape.full_name, message, "Its rows come when it commits; nobody waits for it")
    if not shape.id_column.unique:
        message = (
            f"{server.label}: {shape.id_column.name} has no unique index of its own: polling reads the whole table"
        )
        advice = f"CREATE UNIQUE INDEX CONCURRENTLY ON {shape.sql_name} ({identifier(shape.id_column.name)})"
        yield Finding("warning", shape.full_name, message, advice)


async def _of_pair(first: Looked, second: Looked) -> AsyncIterator[Finding]:
    async with first.server.connect() as one, second.server.connect() as other:
        same = await same_database(one, other)
    if same:
        advice = "FIRST_DB_* and SECOND_DB_* are to lead to two databases"
        yield Finding("error", "pair", "both settings lead to one and the same database", advice)
    if first.facts.number // 10_000 != second.facts.number // 10_000:
        message = f"versions differ: {first.facts.version} and {second.facts.version}"
        yield Finding("warning", "pair", message, "A value that one of them cannot hold will be refused there")
    for looked in (first, second):
        for fault in twice(looked.shapes, looked.server.label):
            yield Finding("error", looked.server.label, fault.args[0], fault.hint)
    for name, ours in first.shapes.items():
        theirs = second.shapes.get(name)
        if theirs and not [*faults(ours, "first"), *faults(theirs, "second")]:
            for finding in _of_both(ours, theirs):
                yield finding


def _of_both(first: Shape, second: Shape) -> Iterator[Finding]:
    unequal = list(differences(first, second))
    for fault in unequal:
        yield Finding("error", first.full_name, fault.args[0], fault.hint)
    if unequal:
        return
    yield Finding("ok", first.full_name, "both sides have the same columns")
    for ours, theirs in zip(first.copied, second.copied, strict=True):
        if ours.not_null != theirs.not_null:
            strict, lax = ("first", "second") if ours.not_null else ("second", "first")
            message = f"{ours.name} is NOT NULL in {strict} only"
            yield Finding("warning", first.full_name, message, f"A NULL from {lax} will be refused in {strict}")


async def _of_redis(dsn: str) -> Finding:
    try:
        async with Redis.from_url(dsn, socket_timeout=2, socket_connect_timeout=2) as redis:
            await redis.info("server")
    except (RedisError, OSError) as error:
        advice = "SNK works without it, and recognises its own rows more slowly after a restart"
        return Finding("warning", "redis", f"it does not answer: {error}", advice)
    return Finding("ok", "redis", "it answers")
