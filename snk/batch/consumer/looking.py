"""Lists a consumer's runs from its tables, for people."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.consumer.reporting import TOLD
from snk.batch.consumer.tables import FILE, NOW, OUTBOX, REJECTED, RUN
from snk.batch.state import State, of_file
from snk.errors import Stop

BEGINS = 100
"""So many characters of a payload stand in lists."""


class Unknown(Stop):
    """There is no such run or file."""


async def runs(connection: AsyncConnection, limit: int) -> list[dict[str, Any]]:
    """The newest runs, newest first, with their files."""
    columns = (RUN.c.id, RUN.c.number, RUN.c.uid, RUN.c.task, RUN.c.state, RUN.c.reason, RUN.c.fence)
    took = sa.cast(sa.extract("epoch", RUN.c.ended_at - RUN.c.created_at), sa.Float)
    payload = sa.func.left(sa.cast(RUN.c.payload, sa.Text), BEGINS).label("payload_begins")
    # A run that was begun again has no one time that it took.
    more = (RUN.c.created_at, RUN.c.ended_at, sa.case((RUN.c.since <= 1, took)).label("seconds"), payload)
    holder = sa.case((RUN.c.working_until > NOW, RUN.c.holder)).label("holder")
    unsent = sa.exists().where(OUTBOX.c.run == RUN.c.id).correlate(RUN).label("unsent")
    asked = sa.select(*columns, *more, holder, unsent).order_by(RUN.c.id.desc()).limit(limit)
    by_id = {row["id"]: _as_json(row) for row in await _rows(connection, asked)}
    files = sa.select(FILE.c.run, FILE.c.name, *(FILE.c[name] for name in TOLD)).where(FILE.c.run.in_(list(by_id)))
    for row in await _rows(connection, files.order_by(FILE.c.run, FILE.c.name)):
        run = by_id[row["run"]]
        state = of_file(State(row["state"]), State(run["state"]))
        run["files"].append({name: row[name] for name in ("name", *TOLD)} | {"state": state})
    for each in by_id.values():
        del each["id"]
        each["rejected"] = sum(file["rejected"] or 0 for file in each["files"])
    return list(by_id.values())


async def rejected(connection: AsyncConnection, run: int, file: str | None, limit: int) -> list[dict[str, Any]]:
    """Records of a run that are not valid, with the reasons: by file, and in the order in which they came.

    Args:
        connection: to read with.
        run: the platform's number; if several platforms have such a run, the one that was noted last is meant.
        file: only of this one; None for all.
        limit: how many at most.

    Returns:
        The records.

    Raises:
        Unknown: there is no such run, or it has no such file.
    """
    newest = sa.select(sa.func.max(RUN.c.id)).where(RUN.c.number == run)
    known: int | None = (await connection.execute(newest)).scalar_one()
    if known is None:
        raise Unknown(f"there is no run {run}", hint="`snk batch consumer runs` lists those that are known")
    names = sa.select(FILE.c.name).where(FILE.c.run == known).order_by(FILE.c.name)
    if file is not None and file not in (listed := (await connection.execute(names)).scalars().all()):
        raise Unknown(f"run {run} has no file {file!r}; there are: {', '.join(listed) or 'none'}")
    of_file = FILE.c.name == file if file else sa.true()
    columns = (FILE.c.name.label("file"), REJECTED.c.number, REJECTED.c.record, REJECTED.c.reasons)
    asked = sa.select(*columns).join_from(REJECTED, FILE).where(FILE.c.run == known, of_file)
    ordered = asked.order_by(FILE.c.name, REJECTED.c.number).limit(limit)
    return [dict(row) for row in await _rows(connection, ordered)]


def _as_json(row: sa.RowMapping) -> dict[str, Any]:
    times = {name: row[name] and row[name].isoformat() for name in ("created_at", "ended_at")}
    return {**row, **times, "uid": str(row["uid"]), "files": []}


async def _rows(connection: AsyncConnection, asked: sa.Executable) -> sa.MappingResult:
    return (await connection.execute(asked)).mappings()
