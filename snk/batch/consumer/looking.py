"""Lists a consumer's runs from its tables, for people."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.consumer.reporting import TOLD
from snk.batch.consumer.tables import FILE, NOW, OUTBOX, REJECTED, RUN
from snk.batch.state import LIVE


async def runs(connection: AsyncConnection, limit: int) -> list[dict[str, Any]]:
    """The newest runs, newest first, with their files."""
    columns = (RUN.c.id, RUN.c.number, RUN.c.uid, RUN.c.task, RUN.c.state, RUN.c.reason, RUN.c.fence)
    holder = sa.case((RUN.c.working_until > NOW, RUN.c.holder)).label("holder")
    unsent = sa.exists().where(OUTBOX.c.run == RUN.c.id).correlate(RUN).label("unsent")
    asked = sa.select(*columns, holder, unsent).order_by(RUN.c.id.desc()).limit(limit)
    by_id = {row["id"]: {**row, "uid": str(row["uid"]), "files": []} for row in await _rows(connection, asked)}
    files = sa.select(FILE.c.run, FILE.c.name, *(FILE.c[name] for name in TOLD)).where(FILE.c.run.in_(list(by_id)))
    for row in await _rows(connection, files.order_by(FILE.c.run, FILE.c.name)):
        run = by_id[row["run"]]
        given_up = run["state"] not in LIVE and row["state"] in LIVE  # it was being written when the run was cancelled
        told = {name: row[name] for name in ("name", *TOLD)} | ({"state": run["state"]} if given_up else {})
        run["files"].append(told)
    for each in by_id.values():
        del each["id"]
    return list(by_id.values())


async def rejected(connection: AsyncConnection, run: int, file: str | None, limit: int) -> list[dict[str, Any]] | None:
    """Records of a run that are not valid, with the reasons: by file, and in the order in which they came.

    Args:
        connection: to read with.
        run: the platform's number; if several platforms have such a run, the one that was noted last is meant.
        file: only of this one; None for all.
        limit: how many at most.

    Returns:
        The records; None if there is no such run.
    """
    newest = sa.select(sa.func.max(RUN.c.id)).where(RUN.c.number == run)
    known: int | None = (await connection.execute(newest)).scalar_one()
    if known is None:
        return None
    of_file = FILE.c.name == file if file else sa.true()
    columns = (FILE.c.name.label("file"), REJECTED.c.number, REJECTED.c.record, REJECTED.c.reasons)
    asked = sa.select(*columns).join_from(REJECTED, FILE).where(FILE.c.run == known, of_file)
    ordered = asked.order_by(FILE.c.name, REJECTED.c.number).limit(limit)
    return [dict(row) for row in await _rows(connection, ordered)]


async def _rows(connection: AsyncConnection, asked: sa.Executable) -> sa.MappingResult:
    return (await connection.execute(asked)).mappings()
