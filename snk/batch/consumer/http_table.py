"""The executor ``http_table``: loads a dataset of `snk serve`, or of what answers as it does, into a table."""

from datetime import UTC

import sqlalchemy as sa

from snk.batch.consumer.executor import Reconciled
from snk.batch.consumer.loading import load
from snk.batch.consumer.matching import match
from snk.batch.consumer.merging import merge
from snk.batch.consumer.options import options_of, span_of
from snk.batch.consumer.tables import NOW
from snk.batch.consumer.target import look_up
from snk.batch.consumer.work import Work


class HttpTable:
    """Loads pages into a staging table, merges what is valid into the target, and compares both sides."""

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
        await load(work, work.provider, target, span, rows)
        await merge(work, target)

    async def reconcile(self, work: Work) -> Reconciled:
        """Compare counts, and digests if there are some."""
        options = options_of(work.file.options)
        async with work.snapshot() as connection:
            target = await look_up(connection, options)
        return await match(work, work.provider, target, span_of(options, work.payload))
