"""What a consumer reports of a run: the answer to a call, and what is sent to the platform when something has ended."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.consumer.holding import FREE
from snk.batch.consumer.tables import FILE, NOW, OUTBOX, RUN
from snk.batch.state import LIVE, State, of_file, of_files
from snk.batch.wire import COUNTS, MOST_REASON, FileTold, Told

TOLD = ("state", *COUNTS, "digest", "reason")


async def report(connection: AsyncConnection, run: int) -> Told:
    """How far a run is. One that no file has begun is under way all the same."""
    row = (await connection.execute(sa.select(RUN.c.fence, RUN.c.state, RUN.c.reason).where(RUN.c.id == run))).one()
    asked = sa.select(FILE.c.name, *(FILE.c[name] for name in TOLD)).where(FILE.c.run == run).order_by(FILE.c.name)
    state = State.RUNNING if row.state in LIVE else _end_of(State(row.state))
    files = {each["name"]: _told(each, state) for each in (await connection.execute(asked)).mappings()}
    return Told.model_validate({"fence": row.fence, "state": state, "reason": row.reason, "files": files})


def _told(row: sa.RowMapping, of_run: State) -> FileTold:
    told = {"state": _end_of(of_file(State(row["state"]), of_run)), "reason": row["reason"][:MOST_REASON]}
    return FileTold.model_validate({name: row[name] for name in TOLD} | told)


def _end_of(state: State) -> State:
    """A state as it is told: that a run was given up is for the platform to say, and not for a consumer."""
    return State.FAILED if state == State.CANCELLED else state


async def settle(connection: AsyncConnection, run: int) -> Told:
    """Note what follows from the states of its files for a run that is locked, and put the report into the outbox."""
    asked = sa.select(FILE.c.name, FILE.c.state, FILE.c.reason).where(FILE.c.run == run).order_by(FILE.c.name)
    files = list(await connection.execute(asked))
    state = of_files([State(each.state) for each in files])
    if state not in LIVE:
        failed = [f"{each.name}: {each.reason}" for each in files if each.state != State.COMPLETED]
        ended = {**FREE, "state": state, "reason": "; ".join(failed)[:MOST_REASON], "ended_at": NOW}
        await connection.execute(sa.update(RUN).where(RUN.c.id == run).values(ended))
    told = await report(connection, run)
    await _post(connection, run, told)
    return told


async def _post(connection: AsyncConnection, run: int, told: Told) -> None:
    """Put a report into the outbox, in the place of an older one of this run."""
    given = told.model_dump(mode="json")
    version = sa.cast(sa.cast(sa.func.pg_current_xact_id(), sa.Text), sa.BigInteger)  # no other report has it, ever
    posted = sa.select(RUN.c.id, version, RUN.c.callback, sa.literal(given, pg.JSONB)).where(RUN.c.id == run)
    names = ["run", "version", "callback", "report"]
    insert = pg.insert(OUTBOX).from_select(names, posted.where(RUN.c.callback != ""))
    newer: dict[str, sa.ColumnElement[object]] = {name: insert.excluded[name] for name in names[1:]}
    newer |= {"tries": sa.literal(0), "reason": sa.literal(""), "due_at": NOW}
    await connection.execute(insert.on_conflict_do_update(index_elements=[OUTBOX.c.run], set_=newer))
