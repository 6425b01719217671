"""One file of a run, as an executor sees it: what it is to load, how far it is, and transactions to go on in."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.consumer.failing import FileFailed
from snk.batch.consumer.holding import Hold, Overtaken, committing
from snk.batch.consumer.provider import Provider, Providers
from snk.batch.consumer.tables import FILE, REJECTED, RUN, STAGED
from snk.batch.definition import File
from snk.batch.state import LIVE
from snk.batch.wire import COUNTS, MOST_COUNT, MOST_REASON, without_nul
from snk.db.locks import share_in_transaction
from snk.db.pool import Pool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file is.

    Attributes:
        mark: where its executor goes on; what stands in it is the executor's business.
        rounds: how often it was begun, because records changed under way.
        expected: records that the provider has.
        received: records that came.
        applied: records that were merged.
        rejected: records that are not valid.
    """

    mark: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 1
    expected: int | None = None
    received: int | None = None
    applied: int | None = None
    rejected: int | None = None


REASON = "reason"
PROGRESS = tuple(each.name for each in fields(Progress))


@dataclass(frozen=True, slots=True)
class Step:
    """A transaction of a file; no other consumer can change the file meanwhile.

    Attributes:
        connection: to the consumer's database.
    """

    connection: AsyncConnection
    _id: int

    async def note(self, **changes: Any) -> None:
        """Note how far the file is, in the same transaction; names are those of `Progress`, and ``reason``.

        Raises:
            FileFailed: a count cannot be one.
        """
        for name in COUNTS:
            if isinstance(count := changes.get(name), int) and not 0 <= count <= MOST_COUNT:
                raise FileFailed(f"the executor says that {name} is {count}")
        if REASON in changes:
            changes[REASON] = cleaned(str(changes[REASON]))
        await self.connection.execute(sa.update(FILE).where(FILE.c.id == self._id).values(changes))


class Work:
    """One file of a run.

    Attributes:
        id: of the file, in the consumer's tables.
        task: the task's name.
        name: the file's name.
        file: what the platform says of it.
        payload: of the trigger.
        page_rows: how many records are asked for at once, unless the file's options say so.
        progress: how far it is.
    """

    def __init__(self, pool: Pool, providers: Providers, hold: Hold, page_rows: int, row: sa.RowMapping) -> None:
        """Assign.

        Args:
            pool: connections to the consumer's database.
            providers: connections to providers.
            hold: on the run.
            page_rows: from the settings.
            row: id, task, name, definition and payload.
        """
        self.id: int = row["id"]
        self.task: str = row["task"]
        self.name: str = row["name"]
        self.file = File.model_validate(row["definition"])
        self.payload: Mapping[str, Any] = row["payload"]
        self.page_rows = page_rows
        self.progress = Progress()
        self._pool = pool
        self._providers = providers
        self._hold = hold

    @property
    def provider(self) -> Provider:
        """Where the file's records are, asked with the file's credentials.

        Raises:
            FileFailed: the source is no address, or there are no such credentials.
        """
        return self._providers.provider(self.file.source, self.file.auth)

    @asynccontextmanager
    async def step(self) -> AsyncIterator[Step]:
        """A transaction, which is committed at the end of the block; ``progress`` is what it was at its beginning, and
        what stands in the database after it.

        Raises:
            Overtaken: others work on it, or it has ended.
            SnkError: the database failed.
        """
        async with self._pool.begin() as connection:
            self.progress = await self._read(connection)
            yield Step(connection, self.id)
            # Who ends the run comes before this look, or waits for the commit.
            await share_in_transaction(connection, committing(self._hold.run))
            after = await self._read(connection)
        self.progress = after

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """A connection to read with, all of it at one moment.

        Raises:
            SnkError: the database failed.
        """
        async with self._pool.connection("snapshot") as connection, connection.begin():
            yield connection

    async def _read(self, connection: AsyncConnection) -> Progress:
        attempt = self._hold.attempt
        held = sa.exists().where(RUN.c.id == FILE.c.run, RUN.c.attempt == attempt)
        mine = sa.and_(FILE.c.id == self.id, FILE.c.attempt == attempt, FILE.c.state.in_(sorted(LIVE)), held)
        asked = sa.select(*(FILE.c[name] for name in PROGRESS)).where(mine).with_for_update()
        row = (await connection.execute(asked)).mappings().one_or_none()
        if row is None:
            raise Overtaken(f"file {self.name} of run {self._hold.number} has ended, or is worked on by others")
        return Progress(**row)


def cleaned(text: str) -> str:
    """A reason as the database can hold it: no NUL, no halves of characters, and not too long."""
    return without_nul(text.encode("utf-8", "backslashreplace").decode())[:MOST_REASON]


async def forget_records(connection: AsyncConnection, files: Sequence[int], *, rejected: bool = True) -> None:
    """Delete what was loaded of files and is not merged; also what was rejected, unless that is to be kept."""
    for table in (STAGED, REJECTED) if rejected else (STAGED,):
        await connection.execute(sa.delete(table).where(table.c.file.in_(files)))
