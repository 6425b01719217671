"""Waiting for an answer that may never come, without mistaking a late answer for a lost one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from snk.errors import Unavailable

# Once an answer is considered lost, this fraction of the patience is left for it to arrive after all.
GRACE = 0.2

log = structlog.get_logger()


@asynccontextmanager
async def watched(patience_seconds: float, lost: Callable[[], Awaitable[Unavailable | None]]) -> AsyncIterator[None]:
    """Run the block; after every ``patience_seconds`` in it, check whether the answer it waits for is lost.

    Args:
        patience_seconds: time until the first check, and between two checks.
        lost: returns why the answer is lost, or None. It runs concurrently with the block and must have its own
            deadline.

    Raises:
        Unavailable: the error that ``lost`` returned.
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

    # A task for every statement would be expensive, so only a slow statement gets one.
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
            if isinstance(ended, Exception):  # from now on, only the statement's own deadline applies
                log.debug("probe_failed", error=repr(ended))
