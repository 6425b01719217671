"""What all pages of a portal must be, whatever they show."""

from collections.abc import Sequence

from playwright.async_api import Browser

from tests.kit.browser import visiting

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


async def for_everybody(browser: Browser, url: str, paths: Sequence[str], token: str = "") -> None:
    """Look at pages in light and dark, on a desk and on a phone: nothing is hard to read, and none is too wide."""
    for dark in (False, True):
        for phone in (False, True):
            async with visiting(browser, url, dark=dark, phone=phone) as visit:
                if token:
                    await visit.go("/")
                    await visit.page.get_by_label("Token").fill(token)
                    await visit.page.get_by_role("button", name="Sign in").click()
                    await visit.page.wait_for_url(f"{url}/")
                for path in paths:
                    await visit.go(path)
                    assert await visit.faults() == [], (path, dark, phone)
                    assert await visit.page.evaluate(WIDER) == 0, f"{path} is wider than the screen"
