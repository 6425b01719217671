"""A sleep that ends when it is time to stop."""

import asyncio

SHORT_SECONDS = 0.05


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Sleep until ``seconds`` have passed or ``stop`` is set; a short sleep does not watch ``stop``."""
    if seconds <= SHORT_SECONDS:
        await asyncio.sleep(seconds)
        return
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
