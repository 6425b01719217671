"""Checks what the service needs, and what would make it slow or surprising. Changes nothing."""

from collections.abc import AsyncIterator, Iterator

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.finding import Finding
from snk.db.catalog import as_identifier, server_facts
from snk.db.relation import Index, indexes_of
from snk.db.server import Server
from snk.errors import SnkError
from snk.http.auth.authority import Authority
from snk.serve.answered import KEYS, exists
from snk.serve.settings import DatasetSettings, Serve
from snk.serve.table import Dataset, is_view, look_up, required

INIT = "Run `snk serve init`"
KEY_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")


async def examine(settings: Serve) -> AsyncIterator[Finding]:
    """Look at the database, at each dataset, at the table of keys, and at who may use the service."""
    server = Server("database", settings.dsn)
    try:
        async with server.connect() as connection:
            async for finding in _server(connection, server.address):
                yield finding
            for name, given in settings.datasets.items():
                async for finding in _dataset(connection, name, given):
                    yield finding
            if any(each.write for each in settings.datasets.values()):
                async for finding in _keys(connection, server.address):
                    yield finding
    except SnkError as error:
        yield Finding("error", server.address, str(error).removeprefix(f"{server.address}: "))
    async for finding in _clients(settings):
        yield finding


async def _server(connection: AsyncConnection, address: str) -> AsyncIterator[Finding]:
    facts = await server_facts(connection)
    yield Finding("ok", address, f"PostgreSQL {facts.version}")
    if facts.standby or facts.read_only:
        what = "a standby" if facts.standby else "in read-only mode"
        yield Finding("warning", address, f"it is {what}, so nothing can be written", "Serve its primary")
    if facts.encoding != "UTF8":
        yield Finding("warning", address, f"its encoding is {facts.encoding}", "It refuses characters that it lacks")


async def _dataset(connection: AsyncConnection, name: str, given: DatasetSettings) -> AsyncIterator[Finding]:
    try:
        dataset = await look_up(connection, name, given)
    except SnkError as error:
        yield Finding("error", name, str(error))
        return
    found = [finding async for finding in _rights(connection, dataset, given.table)]
    found += _columns(dataset)
    if await is_view(connection, given.table):
        words = f"{given.table} is a view, whose key and speed cannot be checked"
        found.append(Finding("warning", name, words, f"Make sure that {given.key} is unique and NOT NULL"))
    else:
        found += _indexes(dataset, await indexes_of(connection, given.table))
        for column in await required(connection, given.table):
            if given.write and column not in given.write:
                words = f"{column} has no default and may not be written, so no record can be stored"
                found.append(Finding("error", name, words, f"Add it to serve.datasets.{name}.write"))
    for finding in found:
        yield finding
    if all(finding.level == "ok" for finding in found):
        yield Finding("ok", name, f"{given.table} is there, with {len(dataset.columns)} columns")


def _columns(dataset: Dataset) -> Iterator[Finding]:
    for column in (dataset.columns[name] for name in dataset.write):
        if column.generated:
            words = f"{column.name} is generated, so it cannot be written"
            yield Finding("error", dataset.name, words, f"Leave it out of serve.datasets.{dataset.name}.write")
    if not dataset.time:
        words = "it has no column of time, so there are no frames and no digests"
        yield Finding("warning", dataset.name, words, f"Set serve.datasets.{dataset.name}.time")


def _indexes(dataset: Dataset, indexes: list[Index]) -> Iterator[Finding]:
    key, time = dataset.key, dataset.time
    if not any(index.unique and index.columns == (key,) for index in indexes):
        words = f"{key} has no unique index of its own: pages may leave out records, and are slow"
        yield Finding("error", dataset.name, words, f"Create a unique index on {key}")
    elif not dataset.columns[key].not_null:
        words = f"{key} may be null: such records are on no page"
        yield Finding("warning", dataset.name, words, f"Make {key} NOT NULL")
    if time and not any(index.columns[:1] == (time,) for index in indexes):
        words = f"{time} has no index: each frame and each digest reads the whole table"
        yield Finding("warning", dataset.name, words, f"Create an index on {time}")
    if time and not dataset.columns[time].not_null:
        words = f"{time} may be null: such records are in no frame"
        yield Finding("warning", dataset.name, words, f"Make {time} NOT NULL")


async def _rights(connection: AsyncConnection, dataset: Dataset, table: str) -> AsyncIterator[Finding]:
    wanted = [("SELECT", name) for name in dict.fromkeys((*dataset.read, *(dataset.write and (dataset.key,))))]
    wanted += [("INSERT", name) for name in dataset.write]
    name = sa.literal(as_identifier(table), sa.Text)
    for right, column in wanted:
        may = sa.func.has_column_privilege(name, sa.literal(column, sa.Text), right)
        if not (await connection.execute(sa.select(may))).scalar_one():
            words = f"the role lacks the right {right} on {table}.{column}"
            yield Finding("error", dataset.name, words, f"grant {right.lower()} on {table} to it")


async def _keys(connection: AsyncConnection, address: str) -> AsyncIterator[Finding]:
    if not await exists(connection):
        yield Finding("error", address, f"there is no table {KEYS.fullname}", INIT)
        return
    lacking = []
    for right in KEY_RIGHTS:
        may = sa.func.has_table_privilege(sa.literal(KEYS.fullname, sa.Text), right)
        if not (await connection.execute(sa.select(may))).scalar_one():
            lacking.append(right)
    if lacking:
        yield Finding("error", address, f"the role lacks {', '.join(lacking)} on {KEYS.fullname}", "Grant these rights")
    else:
        yield Finding("ok", address, f"{KEYS.fullname} is there")


async def _clients(settings: Serve) -> AsyncIterator[Finding]:
    if not settings.auth.closed:
        advice = "Name issuers, tokens or users in [serve.auth] before it listens anywhere else"
        yield Finding("warning", "serve.auth", "everybody on this machine may do all", advice)
        return
    authority = Authority(settings.auth)
    try:
        troubles = await authority.troubles()
    finally:
        await authority.close()
    for trouble in troubles:
        yield Finding("error", "serve.auth", trouble)
    if not troubles:
        yield Finding("ok", "serve.auth", "clients must say who they are")
