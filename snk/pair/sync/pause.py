"""Sleep that ends when it is time to stop."""

import asyncio

SHORT_SECONDS = 0.05


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, but wake when told to stop; a short sleep is not worth the watching."""
    if seconds <= SHORT_SECONDS:
        await asyncio.sleep(seconds)
        return
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
