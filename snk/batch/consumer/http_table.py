"""The executor ``http_table``: loads a dataset of `snk serve`, or of what answers as it does, into a table."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from snk.batch.consumer.executor import Reconciled
from snk.batch.consumer.failing import FileFailed
from snk.batch.consumer.loading import load
from snk.batch.consumer.matching import match
from snk.batch.consumer.merging import merge
from snk.batch.consumer.options import options_of, span_of
from snk.batch.consumer.tables import NOW
from snk.batch.consumer.target import look_up
from snk.batch.consumer.work import Progress, Work
from snk.db.errors import sqlstate
from snk.errors import TooLarge, TooSlow

MOST_SLOW = 3
"""So often in a row a statement is broken off, before its file fails."""
LIMITS = "54"
"""Limits that are part of PostgreSQL, and do not pass as a lack of memory does."""


class HttpTable:
    """Loads pages into a staging table, merges what is valid into the target, and compares both sides."""

    def __init__(self) -> None:
        self._slow = 0
        self._slow_at = Progress()

    async def precondition(self, work: Work) -> str | None:
        """The time of the records is over: before, more of them may come. The clock is that of the database."""
        options = options_of(work.file.options)
        span = span_of(options, work.payload)
        async with work.snapshot() as connection:
            await look_up(connection, options)
            now = (await connection.execute(sa.select(NOW))).scalar_one()
        if span and now < span.end:
            return f"it is {now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}, before the end of the records, {span.query['to']}"
        return None

    async def execute(self, work: Work) -> None:
        """Load, validate and merge."""
        options = options_of(work.file.options)
        async with work.snapshot() as connection:
            target = await look_up(connection, options)
        span, rows = span_of(options, work.payload), options.page_rows or work.page_rows
        with self._within_limits(work):
            await load(work, work.provider, target, span, rows)
            await merge(work, target)

    async def reconcile(self, work: Work) -> Reconciled:
        """Compare counts, and digests if there are some."""
        options = options_of(work.file.options)
        async with work.snapshot() as connection:
            target = await look_up(connection, options)
        with self._within_limits(work):
            return await match(work, work.provider, target, span_of(options, work.payload))

    @contextmanager
    def _within_limits(self, work: Work) -> Iterator[None]:
        """Fail the file when a repetition would meet the same limit of the database."""
        try:
            yield
        except TooLarge as error:
            if not (isinstance(error.__cause__, DBAPIError) and sqlstate(error.__cause__).startswith(LIMITS)):
                raise
            raise FileFailed(str(error.args[0]), hint="Ask for smaller pages by options.page_rows") from error
        except TooSlow as error:
            self._slow = self._slow + 1 if work.progress == self._slow_at else 1
            self._slow_at = work.progress
            if self._slow < MOST_SLOW:
                raise
            hint = "A pattern takes too long, or so many records do: ask for smaller pages by options.page_rows"
            raise FileFailed(f"{error.args[0]}, {MOST_SLOW} times in a row", hint=hint) from error
