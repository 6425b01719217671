"""Waiting for an answer that may never come, without taking one that is late for one that is lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from snk.errors import Unavailable

# What is on its way when it is taken for lost has this part of the patience to arrive.
GRACE = 0.2

log = structlog.get_logger()


@asynccontextmanager
async def watched(patience_seconds: float, lost: Callable[[], Awaitable[Unavailable | None]]) -> AsyncIterator[None]:
    """Run the block; whenever it has taken ``patience_seconds`` more, ask whether what it waits for is lost.

    Args:
        patience_seconds: how long to wait before asking, and between two questions.
        lost: why it is lost, or None. It is asked beside the block, and is to have a deadline of its own.

    Raises:
        Unavailable: what ``lost`` returned.
    """
    loop = asyncio.get_running_loop()
    asking: list[asyncio.Task[None]] = []
    reasons: list[Unavailable] = []

    async def ask() -> None:
        reason = None
        while reason is None:
            reason = await lost()
            await asyncio.sleep(patience_seconds * GRACE if reason else patience_seconds)
        reasons.append(reason)
        deadline.reschedule(loop.time())

    # A task for every statement would be dear, so there is one only for those that take long.
    timer = loop.call_later(patience_seconds, lambda: asking.append(loop.create_task(ask())))
    try:
        async with asyncio.timeout(None) as deadline:
            yield
    except TimeoutError:
        if reasons:
            raise reasons[0] from None
        raise
    finally:
        timer.cancel()
        for task in asking:
            task.cancel()
        for ended in await asyncio.gather(*asking, return_exceptions=True):
            if isinstance(ended, Exception):  # only the deadline of the statement itself is left then
                log.debug("probe_failed", error=repr(ended))
