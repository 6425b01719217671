"""What a person sees of the platform in a browser: figures of real nodes, live, and for everybody."""

from typing import Any

import pytest
from playwright.async_api import Browser

from tests.batch.portal.conftest import Platform
from tests.kit.batch import told
from tests.kit.browser import visiting
from tests.kit.looks import fits

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&"


async def test_the_tasks_are_shown_as_they_are_now(platform: Platform, browser: Browser) -> None:
    await platform.define(prices={}, positions={}, market={"tasks": ["prices"]})
    async with visiting(browser, platform.url) as visit:
        await visit.go("/")
        await visit.live()
        row = visit.page.locator("#part-tasks tr").filter(has_text="prices")
        await row.filter(has_text="idle").wait_for()
        run = await platform.run("prices", "RUNNING")
        await row.filter(has_text="running").filter(has_text=f"run {run}").wait_for()  # without a reload
        await platform.api("POST", "/v1/tasks/prices/pause", {"reason": "it is late"})
        await row.filter(has_text="paused").wait_for()
        await visit.page.get_by_label("State").select_option("paused")
        await visit.page.wait_for_url("**/?*state=paused*")
        await visit.until_shown("1 task", "#part-tasks")
        await visit.page.get_by_label("Group").select_option("market")
        await visit.page.get_by_label("Name contains").fill("PRI")
        await visit.page.get_by_role("button", name="Show").click()
        await visit.page.wait_for_url("**/?q=PRI*state=paused&group=market*")
        assert await visit.page.locator("#part-tasks td:first-child").all_inner_texts() == ["prices"]
        await visit.page.get_by_role("link", name="prices").click()
        await visit.until_shown("has paused it", "#part-task")
        await visit.until_shown("a client without credentials has paused it: it is late", "#part-task li")
        await platform.api("POST", "/v1/tasks/prices/resume", {})
        await visit.until_shown("running", "#part-task .badge")
        await visit.go("/groups")
        await visit.until_shown("market", "#part-groups")


async def test_a_run_under_way_is_drawn_until_it_ends(platform: Platform, browser: Browser) -> None:
    numbers: dict[str, Any] = {"state": "RUNNING", "expected": 5000, "received": 1234}
    platform.says["trades"] = lambda call: told(call, numbers["state"], trades_eu=numbers)
    await platform.define(trades={"files": {"trades_eu": {}}})
    run = await platform.run("trades", "RUNNING")
    async with visiting(browser, platform.url) as visit:
        await visit.go(f"/runs/{run}")
        await visit.live()
        await visit.until_shown("1,234", "#part-run table")
        lanes = visit.page.locator("#part-run .lane")
        for name in (f"run {run}", f"calls of {platform.consumer.url}", "file trades_eu"):
            await lanes.filter(has_text=name).locator("rect.live").first.wait_for(state="attached")
        numbers |= {"received": 5000, "applied": 4990, "rejected": 10, "digest": "abcdef", "state": "COMPLETED"}
        await lanes.filter(has_text="file trades_eu").locator("rect.good").wait_for(state="attached")
        await visit.until_shown("4,990", "#part-run table")
        await visit.until_shown("completed", "#part-run .state")
        await visit.go("/runs?task=trades&state=completed")
        await visit.page.get_by_role("link", name=str(run), exact=True).click()
        await visit.until_shown(f"Run {run} of trades", "h1")


async def test_nodes_and_consumers_that_fail_are_shown(platform: Platform, browser: Browser) -> None:
    platform.says["broken"] = lambda _: 503
    await platform.define(broken={"retry_first_ms": 100, "retry_most_ms": 100, "most_tries": 1000})
    await platform.api("POST", "/v1/tasks/broken/trigger", {})
    async with visiting(browser, platform.url) as visit:
        await visit.go("/nodes")
        await visit.until_shown("alive", "#part-nodes tr:has-text('closed')")
        await visit.until_shown("it answers 503: no", "#part-nodes tr:has-text('failing')")


async def test_what_others_say_is_text(platform: Platform, browser: Browser) -> None:
    platform.says["strange"] = lambda call: (
        told(call, "FAILED", data={"state": "FAILED", "reason": HOSTILE, "digest": HOSTILE}) | {"reason": HOSTILE}
    )
    await platform.define(strange={"files": {"data": {"source": HOSTILE, "options": {"x": HOSTILE}}}})
    run = await platform.run("strange", "FAILED", {"day": HOSTILE})
    await platform.api("POST", "/v1/tasks/strange/pause", {"reason": HOSTILE})
    paths = ("/tasks/strange", "/tasks/strange/pause", "/runs", f"/runs/{run}", "/alerts", "/audit")
    async with visiting(browser, platform.url) as visit:
        for path in paths:
            await visit.go(path)
            await visit.until_shown("<script>", "main")
            assert "owned" not in await visit.page.title()
            assert await visit.page.locator("main img, main script").count() == 0, path


async def test_what_is_not_there_is_said_to_be_missing(platform: Platform) -> None:
    for path in (
        "/runs/999999",
        "/runs/99999999999999999999",
        "/runs/x",
        "/tasks/nobody",
        "/tasks/%00",
        "/alerts/9/acknowledge",
    ):
        async with platform.session.get(platform.url + path) as answer:
            assert answer.status == 404, path
            assert "there is no" in await answer.text(), path
    status, problem = await platform.api("GET", "/v1/nobody")
    assert (status, problem["type"]) == (404, "urn:snk:problem:not-found")


async def test_filters_that_nobody_could_choose_show_nothing_and_break_nothing(platform: Platform) -> None:
    for path in (
        "/?q=%00%25&state=x&group=%00&sort=x",
        "/runs?task=%00&state=x&before=-1",
        "/audit?subject=%00&before=x",
    ):
        async with platform.session.get(platform.url + path) as answer:
            assert answer.status == 200, path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
async def test_pages_are_for_everybody(platform: Platform, browser: Browser, *, dark: bool, phone: bool) -> None:
    long = "a" + "-long" * 12
    platform.says[long] = lambda call: told(
        call, "RECON_FAILED", **{long: {"state": "RECON_FAILED", "reason": "x" * 300}}
    )
    tasks: dict[str, dict[str, Any]] = {
        long: {"files": {long: {}}, "cron": "0 3 * * *"},
        "all-of-it": {"tasks": [long]},
    }
    await platform.define(**tasks)
    run = await platform.run(long, "RECON_FAILED", {"day": "2026-11-25" * 9})
    paths = [
        *("/", "/groups", "/runs", "/nodes", "/alerts", "/audit", f"/tasks/{long}", "/tasks/all-of-it", f"/runs/{run}"),
        *(f"/runs/{run}/rerun", f"/tasks/{long}/trigger", f"/tasks/{long}/backfill?from=2026-11-01&to=2026-11-09"),
        *("/bulk/runs/skip", "/bulk/tasks/pause", "/alerts?all=true"),
    ]
    async with visiting(browser, platform.url, dark=dark, phone=phone) as visit:
        await fits(visit, paths)


@pytest.mark.long
async def test_a_page_stays_live_from_one_stream_to_the_next(platform: Platform, browser: Browser) -> None:
    await platform.define(steady={})
    run = await platform.run("steady", "RUNNING")
    async with visiting(browser, platform.url) as visit:
        await visit.go("/tasks/steady")
        await visit.live()
        await visit.until_next_stream()
        assert await visit.page.locator("#lost").is_hidden()
        await platform.api("POST", f"/v1/runs/{run}/cancel", {"reason": "it is shown"})
        await visit.until_shown("it is shown", "#part-task")
