"""Waits for a database that is not there yet: a service that starts before it begins when it comes."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from snk.core.backoff import Backoff
from snk.errors import Wait
from snk.log import Reminder
from snk.pause import pause

T = TypeVar("T")

log = structlog.get_logger()


async def awaited(stop: asyncio.Event, ask: Callable[[], Awaitable[T]], effect: str) -> T | None:
    """What a question to the database finds, asked again until it answers; None if ``stop`` was set before.

    Args:
        stop: ends the waiting.
        ask: the question.
        effect: what does not happen meanwhile, for the log.
    """
    backoff, reminder = Backoff(), Reminder()
    while not stop.is_set():
        try:
            return await ask()
        except Wait as error:
            if reminder.due(str(error)):
                log.warning("database_unreachable", reason=str(error), effect=effect)
            await pause(stop, backoff.wait_seconds(random.random()))  # noqa: S311 - not a secret
            backoff = backoff.failed()
    return None
