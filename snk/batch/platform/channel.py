"""Messages that come by NOTIFY: any SQL client can send one, in a transaction of its own.

Every node hears it and delivers it; its key makes it count once. PostgreSQL keeps nothing for those who do not listen:
what is sent while no node runs is lost. Messages over HTTP are the sure way.
"""

import asyncio
import random
from collections.abc import Callable

import sqlalchemy as sa
import structlog
from pydantic import Field, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.definition import MESSAGE
from snk.batch.faults import first_fault
from snk.batch.payload import Key, Payload
from snk.batch.platform.messaging import Message, deliver
from snk.core.backoff import Backoff
from snk.db.notices import hear
from snk.db.pool import Pool
from snk.db.server import Server
from snk.errors import DatabaseUnfit, RowRefused, SnkError, Stop
from snk.log import Reminder
from snk.pause import pause
from snk.settings import SettingsTable

MESSAGES = "snk_batch"
WAKE = "snk_batch_wake"
"""On this channel, nodes are told that it may be the turn of a run."""
MOST_WAITING = 10_000
GRACE_SECONDS = 3.0
MOST_SHOWN = 200

log = structlog.get_logger()


async def wake(connection: AsyncConnection) -> None:
    """Have all nodes look whose turn it is when the transaction is committed, without waiting for their next look."""
    await connection.execute(sa.select(sa.func.pg_notify(WAKE, "")))


class Said(SettingsTable):
    """What is sent on the channel."""

    message: str = Field(pattern=MESSAGE)
    key: Key
    payload: Payload = Field(default_factory=dict)


class Channel:
    """Hears messages for one node.

    Args:
        server: the platform's database.
        pool: connections to it.
        hurry: called when it may be the turn of a run.
    """

    def __init__(self, server: Server, pool: Pool, hurry: Callable[[], None]) -> None:
        self._server = server
        self._pool = pool
        self._hurry = hurry
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue()

    async def run(self, stop: asyncio.Event) -> None:
        """Hear and deliver messages until told to stop; then deliver what was heard, as far as there is time."""
        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(self._hear(stop))
            delivering = group.create_task(self._deliver_all())
            await stop.wait()
            hearing.cancel()
            self._waiting.put_nowait(None)
            await asyncio.wait((delivering,), timeout=GRACE_SECONDS)
            if delivering.cancel():
                log.error("notification_dropped", count=self._waiting.qsize(), reason="this node stops")

    async def _hear(self, stop: asyncio.Event) -> None:
        backoff, reminder = Backoff(), Reminder()

        def ready() -> None:
            nonlocal backoff
            backoff = Backoff()
            reminder.over()
            log.info("channel_listening", channel=MESSAGES)
            self._hurry()  # what was told meanwhile was not heard

        while not stop.is_set():
            try:
                await hear(self._server, (MESSAGES, WAKE), self._heard, ready)
            except SnkError as error:
                if reminder.due("lost"):
                    log.warning("channel_lost", reason=str(error), effect="it is connected again; see docs/batch.md")
                await pause(stop, backoff.wait_seconds(random.random()))  # noqa: S311 - not a secret
                backoff = backoff.failed()

    def _heard(self, channel: str, text: str) -> None:
        if channel == WAKE:
            self._hurry()
        elif self._waiting.qsize() < MOST_WAITING:
            self._waiting.put_nowait(text)
        else:
            log.error("notification_dropped", text=text[:MOST_SHOWN], reason=f"{MOST_WAITING} others wait")

    async def _deliver_all(self) -> None:
        while (text := await self._waiting.get()) is not None:
            try:
                said = Said.model_validate_json(text)
            except ValidationError as error:
                reason = ": ".join(filter(None, first_fault(error)))
                log.warning("notification_unusable", text=text[:MOST_SHOWN], reason=reason)
                continue
            await self._deliver(Message(said.message, said.key, "channel", "channel", said.payload))

    async def _deliver(self, message: Message) -> None:
        backoff, reminder = Backoff(), Reminder()
        while True:
            try:
                async with self._pool.begin() as connection:
                    await deliver(connection, message)
            except SnkError as error:
                if isinstance(error, Stop | RowRefused) and not isinstance(error, DatabaseUnfit):
                    log.warning("notification_refused", message=message.name, key=message.key, reason=str(error))
                    return
                if reminder.due("database"):
                    log.warning("database_failed", error=str(error), effect="the message is delivered later")
                await asyncio.sleep(backoff.wait_seconds(random.random()))  # noqa: S311 - not a secret
                backoff = backoff.failed()
            except Exception:  # one message never ends the node
                log.exception("notification_failed", message=message.name, key=message.key)
                return
            else:
                self._hurry()
                return
