"""Compares what was loaded with what the provider has: by counts, and by digests if the records are those of a time.

What the target holds for the keys that were loaded is read again, after it was merged. So a trigger that changes
values, another writer, and a defect of this program are all found. If records were rejected, the provider's digest is
compared with that of all records that came, and the target with those of them that are valid.
"""

from collections.abc import Iterable
from functools import reduce
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.consumer.executor import Reconciled
from snk.batch.consumer.failing import Again, FileFailed
from snk.batch.consumer.provider import Provider
from snk.batch.consumer.tables import REJECTED, STAGED
from snk.batch.consumer.target import Target
from snk.batch.consumer.work import Progress, Work
from snk.batch.options import Span
from snk.core.canonical import Digest
from snk.db.relation import in_json
from snk.db.summed import MOST_ARGUMENTS, summed, summing
from snk.digests import DECODER, exact_digest

PORTION_ROWS = 1000
MOST_MEMBERS = MOST_ARGUMENTS // 2
MOST_ROUNDS = 3
"""So often a file is loaded whose records change meanwhile."""


class Told(NamedTuple):
    """How many records a provider has, and their digest."""

    records: int
    digest: str


async def match(work: Work, provider: Provider, target: Target, span: Span | None) -> Reconciled:
    """Compare.

    Raises:
        Again: the provider's records are not those that came, and may be if they are loaded once more.
    """
    told = await _told(provider, target, span) if span else None
    if told:
        async with work.step() as step:
            await step.note(expected=told.records)
    done = work.progress
    async with work.snapshot() as connection:
        held = await _held(connection, target, work.id, whole=told is not None)
        wrong = _miscounted(done, held.count)
        if wrong or told is None:
            return Reconciled(equal=not wrong, reason=wrong)
        if told == (done.received, held.hex) and not done.rejected:
            return Reconciled(equal=True, digest=told.digest)
        valid = await _digest(connection, _came(target, work.id, rejected=False))
        came = await _digest(connection, _came(target, work.id, rejected=True))
    came.merge(valid)
    if told != (came.count, came.hex):
        return _changed(work, told, came)
    if held != valid:
        words = f"digest {held.hex}, the records that came have {valid.hex}"
        return Reconciled(equal=False, reason=f"the target holds others than the provider sent: {words}")
    return Reconciled(equal=True, reason=f"{done.rejected} records were rejected", digest=told.digest)


def _miscounted(done: Progress, held: int) -> str:
    """How the counts on this side contradict each other; empty if they do not."""
    received, applied, rejected = done.received or 0, done.applied or 0, done.rejected or 0
    if received == applied + rejected and held == applied:
        return ""
    return f"received {received}, rejected {rejected}, applied {applied}, and the target holds {held} of them"


def _changed(work: Work, told: Told, came: Digest) -> Reconciled:
    words = f"the provider has {told.records} records, digest {told.digest}; {came.count} came, digest {came.hex}"
    if work.progress.rounds < MOST_ROUNDS:
        raise Again(words)
    return Reconciled(equal=False, reason=f"{words}; it was loaded {MOST_ROUNDS} times")


async def _told(provider: Provider, target: Target, span: Span) -> Told:
    body = await provider.get({**span.query, "columns": ",".join(target.columns)}, "digest")
    try:
        document = orjson.loads(body)
        return Told(int(document["count"]), f"{int(document['digest'], 16):032x}")
    except (ValueError, TypeError, KeyError):
        shown = body[:80].decode("utf-8", "backslashreplace")
        raise FileFailed(f"the provider's answer is no digest: {shown!r}", hint="See docs/serve.md") from None


async def _held(connection: AsyncConnection, target: Target, file: int, *, whole: bool) -> Digest:
    """Count and digest of the target's rows of the records that were merged; only the count if not ``whole``."""
    same = [target.table.c[name] == target.value(STAGED.c.record, name) for name in target.key]
    joined, mine = sa.join(STAGED, target.table, sa.and_(*same)), STAGED.c.file == file
    if not whole:
        counted = sa.select(sa.func.count()).select_from(joined).where(mine)
        return Digest((await connection.execute(counted)).scalar_one())
    asked = summing({name: (target.table.c[name], each.base) for name, each in target.columns.items()}, joined, mine)
    if asked is not None and (found := summed((await connection.execute(asked)).one())) is not None:
        return found
    row = sa.select(*(in_json(target.table.c[name], each.base).label(name) for name, each in target.columns.items()))
    lateral = row.correlate(target.table).lateral("snk_record")
    record = sa.cast(sa.func.row_to_json(lateral.table_valued()), sa.Text)
    return await _digest(connection, sa.select(record).select_from(joined.join(lateral, sa.true())).where(mine))


def _came(target: Target, file: int, *, rejected: bool) -> sa.Select[Any]:
    """The records that came, with the columns that are loaded."""
    table = REJECTED if rejected else STAGED
    names = list(target.columns)
    portions = (names[at : at + MOST_MEMBERS] for at in range(0, len(names), MOST_MEMBERS))
    record = reduce(sa.ColumnElement.concat, (_object(table.c.record, portion) for portion in portions))
    return sa.select(sa.cast(record, sa.Text)).where(table.c.file == file)


def _object(record: sa.ColumnElement[Any], names: Iterable[str]) -> sa.ColumnElement[Any]:
    """These members of a record; a function of PostgreSQL takes `MOST_ARGUMENTS` values at most."""
    members = [part for name in names for part in (sa.literal(name, sa.Text), record[name])]
    return sa.func.jsonb_build_object(*members, type_=pg.JSONB)


async def _digest(connection: AsyncConnection, asked: sa.Select[Any]) -> Digest:
    """Count and digest of records, each as JSON, which are read in portions."""
    digest = Digest()
    result = await connection.stream(asked, execution_options={"yield_per": PORTION_ROWS})
    async for portion in result.scalars().partitions():
        for record in portion:
            digest.add(exact_digest(DECODER.decode(record)))
    return digest
