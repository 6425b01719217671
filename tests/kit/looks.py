"""What all pages of a portal must be, whatever they show; and pictures of them, if wanted."""

import re
from collections.abc import Sequence
from pathlib import Path

from playwright.async_api import Browser

from tests.kit.browser import Visit, visiting

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
pictures: Path | None = None
"""Where pictures are put, if they are wanted."""


async def fits(visit: Visit, paths: Sequence[str]) -> None:
    """Look at pages as they are shown to somebody: nothing is hard to read, and none is wider than the screen."""
    for path in paths:
        await visit.go(path)
        assert await visit.faults() == [], path
        assert await visit.page.evaluate(WIDER) == 0, f"{path} is wider than the screen"
        if pictures:
            system = await visit.page.inner_text(".name span")
            name = re.sub(r"[^a-z0-9]+", "-", f"{system} {path} {visit.look}".lower())
            await visit.page.screenshot(path=pictures / f"{name[:120]}.png", full_page=True)


async def for_everybody(browser: Browser, url: str, paths: Sequence[str], token: str = "") -> None:
    """The same in light and dark, on a desk and on a phone."""
    for dark in (False, True):
        for phone in (False, True):
            async with visiting(browser, url, dark=dark, phone=phone) as visit:
                if token:
                    await visit.go("/")
                    await visit.page.get_by_label("Token").fill(token)
                    await visit.page.get_by_role("button", name="Sign in").click()
                    await visit.page.wait_for_url(f"{url}/")
                await fits(visit, paths)
