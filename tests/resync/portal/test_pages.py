"""What a person sees of the watch in a browser: differences of a real project, explained, and gone when repaired."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser

from snk.embedded.process import free_port
from tests.kit.assignments import World
from tests.kit.browser import visiting
from tests.kit.commands import start_command
from tests.kit.databases import until
from tests.kit.looks import for_everybody

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&"
TOKENS = ("operator-token-0123", "viewer-token-012345")


@asynccontextmanager
async def watching(world: World, folder: Path, *words: str, http: str = "") -> AsyncIterator[str]:
    """The address of a watch as a process of its own, which begins a round once an hour."""
    port = free_port()
    settings = f'[resync]\ndatabase = "{world.dsn}"\nredis = "{world.redis_url}"\ngrace_seconds = 0\n'
    (folder / "snk.toml").write_text(f"{settings}[resync.http]\nport = {port}\n{http}")
    words = ("resync", "watch", "--every", "3600", "--config", str(folder / "snk.toml"), *words)
    process = start_command(*words, log=folder / "log")
    try:

        async def listening() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            return "http_listening" in (folder / "log").read_text()

        await until(listening, "the watch to listen")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


async def test_a_project_that_differs_is_explained_and_a_round_that_is_asked_for_finds_it_repaired(
    world: World, tmp_path: Path, browser: Browser
) -> None:
    await world.project("P", "0", 7)
    await world.rows("P", 7, (1, 1))
    await world.counters(sasp_7=130)
    await world.project("Q", "1", 8)
    async with watching(world, tmp_path) as url, visiting(browser, url) as visit:
        await visit.go("/")
        await visit.live()
        await visit.until_shown("129 missing", "#part-projects")
        await visit.until_shown("project checked", "#part-events")
        assert await visit.page.locator("#part-chart .key").all_inner_texts() == ["P"], "Q has no difference"
        await visit.page.get_by_role("link", name="P", exact=True).click()
        assert "insert 129 rows, set 0 counters" in await visit.page.inner_text("main")
        await visit.until_shown("sasp_7 is 130; source 2 has no rows")
        await visit.until_shown("and 29 more; snk resync check --json shows all")
        await visit.until_shown("snk resync sync P")
        await world.repair()
        await visit.go("/")
        await visit.until_shown("different", "#part-projects")
        await visit.page.get_by_role("button", name="Check now").click()
        await visit.until_shown("The next round begins now.")
        await visit.until_shown("healthy")  # without a reload, and long before the hour is over
        assert "different" not in await visit.page.locator("#part-projects").inner_text()


async def test_what_a_project_is_called_is_text_and_all_pages_are_for_everybody(
    world: World, tmp_path: Path, browser: Browser
) -> None:
    await world.project(HOSTILE, "1", 7)
    await world.rows(HOSTILE, 7, (1, 1))
    await world.counters(maic_7_1="<b>none</b>", maic_7_2=4)
    async with watching(world, tmp_path) as url, visiting(browser, url) as visit:
        await visit.go("/?q=SCRIPT")
        await visit.until_shown("1 unreadable", "#part-projects")
        await visit.page.get_by_role("link", name="<script>").click()
        assert "<script>" in await visit.page.inner_text("h1")
        await visit.until_shown("<b>none</b>")
        path = visit.page.url.removeprefix(url)
        await visit.go("/events")
        await visit.until_shown("<script>")
        assert "owned" not in await visit.page.title()
        await for_everybody(browser, url, ("/", path, "/events"))


async def test_who_may_only_look_cannot_begin_a_round(world: World, tmp_path: Path, browser: Browser) -> None:
    http = f'token = "{TOKENS[0]}"\nview_token = "{TOKENS[1]}"\n'
    async with watching(world, tmp_path, http=http) as url, visiting(browser, url) as visit:
        await visit.go("/")
        await visit.page.get_by_label("Token").fill(TOKENS[1])
        await visit.page.get_by_role("button", name="Sign in").click()
        await visit.until_shown("Counters in Redis")
        assert await visit.page.get_by_role("button", name="Check now").count() == 0
        answer = await visit.page.request.post(f"{url}/check", headers={"Origin": url})
        assert answer.status == 403
        answer = await visit.page.request.get(f"{url}/projects/nobody")
        assert answer.status == 404
