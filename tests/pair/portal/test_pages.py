"""What a person sees of a daemon in a browser: figures of a real one, live."""

from typing import Any

import pytest
from playwright.async_api import Browser

from tests.kit.browser import visiting
from tests.kit.daemons import DaemonProcess
from tests.kit.databases import Database, insert, until_equal
from tests.kit.looks import fits

PATHS = ("/", "/tables", "/tables/records", "/events")
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&"


async def test_the_first_page_shows_what_flows(pair: Any, first: Database, second: Database, browser: Browser) -> None:
    with DaemonProcess(pair) as daemon:
        await daemon.until_flowing()
        async with visiting(browser, daemon.url) as visit:
            await visit.go("/")
            await visit.live()
            await visit.until_shown("healthy")
            await insert(first, 1234)
            await until_equal(first, second, 1234)
            await visit.until_shown("1,234", "#part-flows")  # without a reload
            await visit.until_shown("flow started", "#part-events")


async def test_a_page_says_when_the_service_is_gone(pair: Any, browser: Browser) -> None:
    with DaemonProcess(pair) as daemon:
        await daemon.until_flowing()
        async with visiting(browser, daemon.url) as visit:
            await visit.go("/")
            await visit.live()
            daemon.kill()
            await visit.page.locator("#lost").wait_for(state="visible")
            daemon.start()
            await visit.page.locator("#lost").wait_for(state="hidden")
            visit.complaints.clear()  # the browser tells of connections that were refused


async def test_pages_are_the_same_without_the_script(
    pair: Any, first: Database, second: Database, browser: Browser
) -> None:
    with DaemonProcess(pair) as daemon:
        await daemon.until_flowing()
        await insert(first, 5)
        await until_equal(first, second, 5)
        context = await browser.new_context(java_script_enabled=False)
        page = await context.new_page()
        await page.goto(f"{daemon.url}/tables?sort=name")
        await page.locator("input[name=q]").fill("rec")
        await page.get_by_role("button", name="Show").click()
        await page.get_by_role("link", name="records").click()
        assert "records" in await page.inner_text("h1")
        await context.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
async def test_pages_are_for_everybody(
    pair: Any, first: Database, second: Database, browser: Browser, *, dark: bool, phone: bool
) -> None:
    with DaemonProcess(pair, SNK_CANARY_SECONDS="1") as daemon:
        await daemon.until_flowing()
        await insert(first, 5)
        await until_equal(first, second, 5)
        async with visiting(browser, daemon.url, dark=dark, phone=phone) as visit:
            await fits(visit, PATHS)


async def test_what_a_table_is_called_is_text(pair: Any, first: Database, second: Database, browser: Browser) -> None:
    name = '"' + HOSTILE.replace('"', '""')[:50] + '"'
    for side in (first, second):
        await side.run(f"create table {name} (id bigserial primary key, uuid uuid not null unique, data text)")
    with DaemonProcess(pair, SNK_TABLES="*") as daemon:
        await daemon.until_flowing()
        async with visiting(browser, daemon.url) as visit:
            for path in ("/", "/tables", "/proof", "/events"):
                await visit.go(path)
                await visit.until_shown("<script>")
                assert "owned" not in await visit.page.title()
            await visit.go("/tables")
            await visit.page.get_by_role("link", name="<script>").first.click()
            assert "<script>" in await visit.page.inner_text("h1")


async def test_a_daemon_with_a_token_is_seen_after_signing_in(pair: Any, browser: Browser) -> None:
    tokens = {"SNK_HTTP_TOKEN": "operator-token-0123", "SNK_HTTP_VIEW_TOKEN": "viewer-token-012345"}
    with DaemonProcess(pair, **tokens) as daemon:
        await daemon.until_flowing()
        async with visiting(browser, daemon.url) as visit:
            await visit.go("/tables?sort=name")
            assert "/sign-in" in visit.page.url
            assert "records" not in await visit.text()
            await visit.page.get_by_label("Token").fill("wrong")
            await visit.page.get_by_role("button", name="Sign in").click()
            await visit.until_shown("not known")
            visit.complaints.clear()  # the browser tells of the status 403
            await visit.page.get_by_label("Token").fill("viewer-token-012345")
            await visit.page.get_by_role("button", name="Sign in").click()
            await visit.until_shown("records")
            assert visit.page.url.endswith("/tables?sort=name")
            cookie = (await visit.page.context.cookies())[0]
            assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
            await visit.page.get_by_role("button", name="Sign out").click()
            await visit.go("/")
            assert "/sign-in" in visit.page.url


@pytest.mark.long
async def test_a_stream_that_ends_is_followed_by_the_next(pair: Any, browser: Browser) -> None:
    with DaemonProcess(pair) as daemon:
        await daemon.until_flowing()
        async with visiting(browser, daemon.url) as visit:
            await visit.go("/")
            await visit.live()
            await visit.until_next_stream()
            assert await visit.page.locator("#lost").is_hidden()
