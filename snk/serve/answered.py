"""The answers that were given to requests with an Idempotency-Key, in the table ``snk.serve_keys``.

A row is written in the transaction that stores the records: either both are there or none. While a request is under way
its transaction holds an advisory lock, so that a second one with the same key is told so at once and never waits. A row
that was committed between the look at the table and the lock is found when its own is written.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateIndex, CreateSchema, CreateTable

from snk.db import catalog
from snk.db.functions import interval
from snk.db.journal import SCHEMA
from snk.db.locks import key_of, try_lock_in_transaction
from snk.db.server import Server
from snk.errors import DatabaseUnfit

KEYS = sa.Table(
    "serve_keys",
    sa.MetaData(schema=SCHEMA),
    sa.Column("client", sa.Text, primary_key=True),
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
)
INDEX = sa.Index("serve_keys_created_at", KEYS.c.created_at)
STATEMENTS = (
    CreateSchema(SCHEMA, if_not_exists=True),
    CreateTable(KEYS, if_not_exists=True),
    CreateIndex(INDEX, if_not_exists=True),
)
PORTION_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Name:
    """What identifies a request: its client, the dataset, and the key."""

    client: str
    dataset: str
    key: str

    @property
    def lock(self) -> int:
        """The key of its advisory lock."""
        return key_of(f"snk serve\0{self.client}\0{self.dataset}\0{self.key}")


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request.

    Attributes:
        payload: a hash of what was requested.
        body: exactly as it was sent.
    """

    payload: bytes
    status: int
    body: bytes


class Answered:
    """The answers.

    Args:
        keep_hours: for how long they count.
    """

    def __init__(self, keep_hours: float) -> None:
        self._kept_since = sa.func.now() - interval(keep_hours * 3600)
        # Making a statement takes longer than running it, so each is made once.
        self._look = self._looking()
        self._keep = self._keeping()

    async def look(self, connection: AsyncConnection, name: Name) -> tuple[bool, Answer | None]:
        """Whether this request may be worked on, and the answer if it was answered before.

        The first holds until the caller's transaction ends.
        """
        given = {"a_client": name.client, "a_dataset": name.dataset, "a_key": name.key, "a_lock": name.lock}
        mine, payload, status, body = (await connection.execute(self._look, given)).one()
        return bool(mine), None if payload is None else Answer(payload, status, body)

    async def keep(self, connection: AsyncConnection, name: Name, answer: Answer) -> bool:
        """Keep an answer, in the caller's transaction; False if another one was kept meanwhile."""
        given = {
            "client": name.client,
            "dataset": name.dataset,
            "key": name.key,
            "payload": answer.payload,
            "status": answer.status,
            "body": answer.body,
        }
        return (await connection.execute(self._keep, given)).first() is not None

    def _looking(self) -> sa.Select[Any]:
        k = KEYS.c
        found = (
            sa.select(k.payload, k.status, k.body)
            .where(k.client == sa.bindparam("a_client", type_=sa.Text))
            .where(k.dataset == sa.bindparam("a_dataset", type_=sa.Text))
            .where(k.key == sa.bindparam("a_key", type_=sa.Text))
            .where(k.created_at > self._kept_since)
            .subquery()
        )
        lock = sa.select(try_lock_in_transaction(sa.bindparam("a_lock", type_=sa.BigInteger)).label("mine")).subquery()
        return sa.select(lock.c.mine, found).select_from(lock.outerjoin(found, sa.true()))

    def _keeping(self) -> sa.Executable:
        inserted = pg.insert(KEYS)
        new = {name: inserted.excluded[name] for name in ("payload", "status", "body")}
        kept = inserted.on_conflict_do_update(
            index_elements=[KEYS.c.client, KEYS.c.dataset, KEYS.c.key],
            set_={**new, "created_at": sa.func.now()},
            where=KEYS.c.created_at <= self._kept_since,
        )
        return kept.returning(sa.literal(1))

    async def forget(self, connection: AsyncConnection) -> int:
        """Delete some answers that count no longer; return how many."""
        k = KEYS.c
        old = (
            sa.select(k.client, k.dataset, k.key)
            .where(k.created_at <= self._kept_since)
            .limit(PORTION_ROWS)
            .with_for_update(skip_locked=True)
        )
        deleted = sa.delete(KEYS).where(sa.tuple_(k.client, k.dataset, k.key).in_(old))
        return int((await connection.execute(deleted)).rowcount)


async def prepare(server: Server) -> bool:
    """Create the table if there is none; return whether it was created.

    Raises:
        DatabaseUnfit: the role may not create it.
    """
    async with server.begin() as connection:
        if await exists(connection):
            return False
        try:
            for statement in STATEMENTS:
                await connection.execute(statement)
        except ProgrammingError as error:
            hint = "Ask an owner of the database to run `snk serve init --print`, and to grant the rights to this role"
            raise DatabaseUnfit(f"{server.address}: {KEYS.fullname} cannot be created", hint=hint) from error
        return True


async def exists(connection: AsyncConnection) -> bool:
    """Whether the table is there."""
    return await catalog.exists(connection, KEYS.fullname, "table")


def printed() -> str:
    """The statements that create the table, to be run by hand."""
    dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]
    texts = (str(statement.compile(dialect=dialect)).strip() for statement in STATEMENTS)
    lines = (line.rstrip() for text in texts for line in f"{text};\n".replace("\t", "  ").split("\n"))
    return "\n".join(lines)
