"""The table of both databases: created, filled with the past, and compared row by row, without the pipeline."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa

from snk.core.words import counted
from snk.db.server import Server
from snk.pipeline.frame import Grid, moment

NAME = "records"
COLUMNS = ("uid", "created_at", "amount", "note")
EMPTY_EACH = 10
"""One frame in so many has no records."""
BETWEEN_EACH = 3
"""One frame in so many has a record in between; all others only have one at their first moment and one in their last
microsecond."""
SHOWN = 3
"""Differences that are named."""
MICROSECOND = timedelta(microseconds=1)

METADATA = sa.MetaData()
RECORD = sa.Table(
    NAME,
    METADATA,
    sa.Column("uid", sa.Text, primary_key=True),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, index=True),
    sa.Column("amount", sa.Numeric(12, 3)),
    sa.Column("note", sa.Text),
)


class Row(NamedTuple):
    """One record, without its uid."""

    created_at: datetime
    amount: Decimal | None
    note: str | None


async def create(url: str) -> None:
    """Create the table."""
    async with Server("database", url).begin() as connection:
        await connection.run_sync(METADATA.create_all)


async def fill(url: str, grid: Grid, frames: int) -> int:
    """Insert the records of the first frames; return how many there are."""
    rows = list(past(grid, frames))
    async with Server("database", url).begin() as connection:
        await connection.execute(sa.insert(RECORD), rows)
    return len(rows)


def past(grid: Grid, frames: int) -> Iterator[dict[str, Any]]:
    """The records of the first frames."""
    chance = random.Random(frames)  # noqa: S311 - it chooses what is inserted
    for frame in range(frames):
        if frame % EMPTY_EACH == EMPTY_EACH - 1:
            continue
        start, end = moment(grid.start(frame)), moment(grid.start(frame + 1))
        between = start + timedelta(microseconds=chance.randrange(grid.seconds * 1_000_000))
        for number, at in enumerate((start, end - MICROSECOND, between)[: 2 + (frame % BETWEEN_EACH == 0)]):
            yield {"uid": f"past-{frame}-{number}", "created_at": at, **content(chance)}


def content(chance: random.Random) -> dict[str, Any]:
    """What a record has beside its uid and its time; amounts with zeros at the end, and texts that are not ASCII."""
    amount = Decimal(chance.randrange(1_000_000)) / 100
    return {"amount": chance.choice((None, amount, amount.to_integral_value())), "note": chance.choice((None, "é", ""))}


async def rows_of(url: str) -> dict[str, Row]:
    """All records by their uids."""
    async with Server("database", url).begin() as connection:
        found = await connection.execute(sa.select(*(RECORD.c[name] for name in COLUMNS)))
        return {uid: Row(*rest) for uid, *rest in found}


def difference(sent: dict[str, Row], received: dict[str, Row]) -> list[str]:
    """What differs, in words; empty if nothing does."""
    common = sent.keys() & received.keys()
    kinds = (
        ("lacks {}", sent.keys() - received.keys()),
        ("has {} that the sending one lacks", received.keys() - sent.keys()),
        ("has other values of {}", {uid for uid in common if sent[uid] != received[uid]}),
    )
    return [
        f"the receiving database {how.format(counted(len(uids), 'record'))}, such as {', '.join(sorted(uids)[:SHOWN])}"
        for how, uids in kinds
        if uids
    ]
