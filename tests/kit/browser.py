"""A real browser: Debian's Chromium, headless. Without it, tests that need it are skipped."""

import json
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, ViewportSize, async_playwright

from tests.kit.databases import until

PROGRAMS = ("chromium", "chromium-browser")
SHOWN_MS = 20_000
PHONE = ViewportSize(width=390, height=844)
DESK = ViewportSize(width=1280, height=900)
AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
SERIOUS = ("serious", "critical")


def program() -> str:
    """The path of the browser; the test is skipped if there is none."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    return found


@asynccontextmanager
async def opened() -> AsyncIterator[Browser]:
    """A browser."""
    path = program()
    async with async_playwright() as playwright:
        # As root, and in containers, Chromium's own sandbox cannot be set up.
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visit:
    """What somebody sees of one site in one tab.

    Attributes:
        page: the tab.
        look: in words: light or dark, and whether it is a phone.
        complaints: errors in the console, failed requests, and requests to other origins.
    """

    page: Page
    url: str
    look: str = ""
    complaints: list[str] = field(default_factory=list)

    async def go(self, path: str) -> None:
        """Open a page."""
        await self.page.goto(f"{self.url}{path}", wait_until="domcontentloaded")

    async def until_there(self) -> None:
        """Open the first page as soon as the service listens."""
        address = urlsplit(self.url)

        async def listens() -> bool:
            with suppress(OSError):
                socket.create_connection((address.hostname or "", address.port or 0)).close()
                return True
            return False

        await until(listens, "the service to listen")
        await self.go("/")

    async def text(self) -> str:
        """All that the page shows."""
        return await self.page.inner_text("body")

    async def until_shown(self, text: str, selector: str = "body") -> None:
        """Wait until a text is there."""
        await self.page.locator(selector).filter(has_text=text).first.wait_for(timeout=SHOWN_MS)

    async def faults(self) -> list[str]:
        """What axe-core finds serious on this page."""
        await self.page.evaluate(AXE)
        found: dict[str, Any] = await self.page.evaluate("axe.run()")
        return [
            f"{each['id']}: {each['help']}: {json.dumps([node['target'] for node in each['nodes']][:3])}"
            for each in found["violations"]
            if each["impact"] in SERIOUS
        ]

    async def live(self) -> None:
        """Wait until the page is kept up to date."""
        await self.page.locator("#live").filter(has_text=re.compile("^live$")).wait_for()

    async def until_next_stream(self) -> None:
        """Wait until the stream that keeps the page up to date has ended, and the next one has begun."""

        async def streams() -> bool:
            told = await self.page.evaluate("performance.getEntriesByType('resource').map(each => each.name)")
            return json.dumps(told).count("/live/") >= 2

        await until(streams, "the next stream to follow the first")

    def on_console(self, message: ConsoleMessage) -> None:
        """Keep errors."""
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text}")

    def on_request(self, request: Request) -> None:
        """Keep requests that leave the site."""
        if urlsplit(request.url).netloc != urlsplit(self.url).netloc and not request.url.startswith("data:"):
            self.complaints.append(f"leaves the origin: {request.url}")


@asynccontextmanager
async def visiting(browser: Browser, url: str, *, dark: bool = False, phone: bool = False) -> AsyncIterator[Visit]:
    """A visit; afterwards there must be no complaints."""
    context = await browser.new_context(
        color_scheme="dark" if dark else "light",
        viewport=PHONE if phone else DESK,
        locale="en-GB",
    )
    try:
        look = f"{'dark' if dark else 'light'}{' phone' if phone else ''}"
        visit = Visit(await context.new_page(), url, look)
        visit.page.on("console", visit.on_console)
        visit.page.on("pageerror", lambda error: visit.complaints.append(f"script: {error}"))
        visit.page.on("request", visit.on_request)
        visit.page.set_default_timeout(SHOWN_MS)
        yield visit
        assert not visit.complaints
    finally:
        await context.close()
