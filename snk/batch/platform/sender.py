"""Sends what is due to be sent of alerts, each channel by itself: one that hangs delays no other."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import structlog

from snk.batch.channels import LOG, Alerts
from snk.batch.platform import outbox
from snk.batch.platform.mail import MailChannel
from snk.batch.platform.message import Channel, Message, NotSent
from snk.batch.platform.webhook import WebhookChannel
from snk.core.backoff import Backoff
from snk.db.pool import Pool
from snk.errors import SnkError
from snk.log import Reminder
from snk.pause import pause

AT_ONCE = 10
LOOK_SECONDS = 1.0
ANNOUNCE_SECONDS = 60.0
FIRST_SECONDS = 2.0
MOST_SECONDS = 900.0
"""Delays between tries of one notice."""

log = structlog.get_logger()


class LogChannel:
    """The log of the node that sends."""

    name = LOG
    kinds: tuple[str, ...] = ()

    async def send(self, message: Message) -> str:
        """Write a line."""
        facts = {"alert": message.alert, "kind": message.kind, "subject": message.subject, "text": message.text}
        if message.event == "resolved":
            log.info("alert_resolved", **facts)
        else:
            log.warning("alert_raised", **facts)
        return ""

    async def close(self) -> None:
        """Nothing is open."""


def channels_of(settings: Alerts) -> list[Channel]:
    """The channels that settings describe, and the log."""
    webhooks = [WebhookChannel(each, settings.link) for each in settings.webhooks]
    return [LogChannel(), *webhooks, *(MailChannel(each, settings.link) for each in settings.emails)]


class Sender:
    """Sends for one node."""

    def __init__(self, pool: Pool, channels: Sequence[Channel]) -> None:
        self._pool = pool
        self._channels = channels
        self._reminders = defaultdict[str, Reminder](Reminder)

    async def announce(self) -> None:
        """Note which channels this node has; call it before anything can be raised.

        Raises:
            SnkError: the database failed.
        """
        async with self._pool.begin() as connection:
            await outbox.announce(connection, {each.name: each.kinds for each in self._channels})

    async def run(self, stop: asyncio.Event) -> None:
        """Send until told to stop; what is being sent is finished."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_announced(stop))
            for channel in self._channels:
                group.create_task(self._serve(channel, stop))

    async def flush(self) -> None:
        """Send what is due now, each once.

        Raises:
            SnkError: the database failed.
        """
        await asyncio.gather(*(self._empty(channel) for channel in self._channels))

    async def close(self) -> None:
        """Close all channels."""
        for channel in self._channels:
            await channel.close()

    async def _keep_announced(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await pause(stop, ANNOUNCE_SECONDS)
            try:
                await self.announce()
            except SnkError as error:
                self._failed(error)

    async def _serve(self, channel: Channel, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._empty(channel, stop)
            except SnkError as error:
                self._failed(error)
            await pause(stop, LOOK_SECONDS)

    async def _empty(self, channel: Channel, stop: asyncio.Event | None = None) -> None:
        """Send what is due to one channel, portion by portion."""
        while not (stop and stop.is_set()):
            async with self._pool.connection("statement") as connection:
                taken = await outbox.take(connection, channel.name, AT_ONCE)
            if not taken:
                return
            await asyncio.gather(*(self._send(channel, each) for each in taken))

    async def _send(self, channel: Channel, taken: outbox.Taken) -> None:
        """Send one notice. If what came of it cannot be noted, it is sent again when it is no longer taken."""
        try:
            remark = await _sent(channel, taken.message)
        except NotSent as error:
            backoff = Backoff(FIRST_SECONDS, MOST_SECONDS, taken.tries - 1)
            wait = max(error.wait_seconds, backoff.wait_seconds(random.random()))  # noqa: S311 - jitter
            if self._reminders[channel.name].due("failed"):
                log.warning("alert_not_sent", channel=channel.name, error=str(error), effect="it is tried again")
            noting = partial(outbox.failed, taken=taken, error=str(error), again_seconds=wait)
        else:
            self._reminders[channel.name].over()
            noting = partial(outbox.sent, taken=taken, remark=remark)
        try:
            async with self._pool.connection("statement") as connection:
                await noting(connection)
        except SnkError as error:
            self._failed(error)

    def _failed(self, error: SnkError) -> None:
        if self._reminders[""].due("database"):
            log.warning("database_failed", error=str(error), effect="alerts are sent later")


async def _sent(channel: Channel, message: Message) -> str:
    """Send a message; an error that nobody thought of ends no node.

    Raises:
        NotSent: why it was not taken.
    """
    try:
        return await channel.send(message)
    except NotSent:
        raise
    except Exception as error:
        log.exception("alert_broke", channel=channel.name, alert=message.alert, effect="it is tried again")
        raise NotSent(f"{type(error).__name__}: {error}") from error
