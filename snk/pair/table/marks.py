"""Marks as values, and how sessions begin with them: many at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.intervals import NOTHING, Intervals
from snk.errors import LeaseLost, MarkMoved, SnkError
from snk.pair.schema.own import NAMES_ARRAY, NUMBERS_ARRAY, Mark, ours

MOST_INTERVALS = 1000


@dataclass(frozen=True, slots=True)
class MarkState:
    """A mark as a value; `snk.pair.schema.own.Mark` describes the fields."""

    version: int = 0
    high: int = 0
    safe: int = 0
    holes: Intervals = NOTHING
    source: str = ""
    boot: str = ""
    epoch: int = 0

    @property
    def values(self) -> dict[str, Any]:
        """What a batch changes, as columns of the mark; of very many holes, intervals that contain them."""
        lows, highs = ([pair[end] for pair in self.holes.coarse(MOST_INTERVALS).pairs] for end in (0, 1))
        return {
            "high": self.high,
            "safe": self.safe,
            "holes_low": lows,
            "holes_high": highs,
            "source": self.source,
            "boot": self.boot,
        }


async def load(connection: AsyncConnection, names: Sequence[str]) -> dict[str, MarkState | None]:
    """The marks of tables, by their names; None for a table that SNK has never written."""
    found = sa.select(Mark.__table__).where(ours(Mark))
    rows = (await connection.execute(found, {"names": list(names)})).mappings()
    return {**dict.fromkeys(names), **{row["table_name"]: _state(row) for row in rows}}


async def versions(connection: AsyncConnection, names: Sequence[str]) -> dict[str, int]:
    """The versions of marks, by the names of their tables."""
    found = sa.select(Mark.table_name, Mark.version).where(ours(Mark))
    return {row[0]: row[1] for row in await connection.execute(found, {"names": list(names)})}


async def claim(
    connection: AsyncConnection, wanted: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], MarkState | SnkError | None]:
    """Load marks and claim them: from now on, only the holder of such an epoch's lease can write a mark and its rows.

    Args:
        connection: to the database that has the marks.
        wanted: tables, each with the epoch of its lease.

    Returns:
        For each, the mark with this epoch; None if there is no mark yet; or `LeaseLost` if a later epoch has the lease,
        or `MarkMoved` if the mark was moved meanwhile.
    """
    wanted = list(wanted)
    marks = await load(connection, list({name for name, _ in wanted}))
    free = {name: (mark.version, epoch) for name, epoch in wanted if (mark := marks[name]) and mark.epoch < epoch}
    taken = await _taken(connection, free)
    return {(name, epoch): _claimed(name, marks[name], epoch, taken) for name, epoch in wanted}


async def create(connection: AsyncConnection, states: Iterable[tuple[str, MarkState]]) -> None:
    """Write the first marks of tables, unless another daemon already did."""
    rows = [
        {"table_name": name, "version": state.version, "epoch": state.epoch, **state.values} for name, state in states
    ]
    await connection.execute(insert(Mark).on_conflict_do_nothing(), rows)


async def _taken(connection: AsyncConnection, wanted: Mapping[str, tuple[int, int]]) -> frozenset[str]:
    """Those of the marks that were at a version, and have a new epoch now."""
    if not wanted:
        return frozenset()
    names = sa.literal(list(wanted), NAMES_ARRAY)
    numbers = [sa.literal(list(each), NUMBERS_ARRAY) for each in zip(*wanted.values(), strict=True)]
    leased = sa.func.unnest(names, *numbers).table_valued("name", "version", "epoch", name="leased").render_derived()
    claims = sa.update(Mark).where(
        Mark.table_name == leased.c.name, Mark.version == leased.c.version, Mark.epoch < leased.c.epoch
    )
    claims = claims.values(epoch=leased.c.epoch, version=Mark.version + 1)
    return frozenset((await connection.execute(claims.returning(Mark.table_name))).scalars())


def _claimed(name: str, mark: MarkState | None, epoch: int, taken: frozenset[str]) -> MarkState | SnkError | None:
    if mark is None or mark.epoch == epoch:
        return mark
    if mark.epoch > epoch:
        words = f"{name}: epoch {mark.epoch} has the lease, not this daemon's {epoch}"
        return LeaseLost(words, epoch=mark.epoch)
    if name not in taken:
        return moved(name)
    return replace(mark, epoch=epoch, version=mark.version + 1)


def moved(name: str) -> MarkMoved:
    """The error to raise if a mark is not the one last written."""
    return MarkMoved(f"{name}: the mark is not the one last written here")


def _state(row: sa.RowMapping) -> MarkState:
    holes = Intervals.of(zip(row["holes_low"], row["holes_high"], strict=True))
    return MarkState(row["version"], row["high"], row["safe"], holes, row["source"], row["boot"], row["epoch"])
