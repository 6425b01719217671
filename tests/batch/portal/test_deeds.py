"""What a person does in the portal: asked before, done as by the API, and in the audit with a reason."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser

from tests.batch.portal.conftest import Platform
from tests.kit.batch import World, told
from tests.kit.browser import Visit, visiting

NOBODY = "a client without credentials"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as made:
        yield made


async def because(visit: Visit, reason: str, button: str) -> None:
    """Give a reason, and press the button."""
    await visit.page.get_by_label("Reason").fill(reason)
    await visit.page.get_by_role("button", name=button).click()


async def test_a_task_is_paused_resumed_and_triggered(platform: Platform, browser: Browser) -> None:
    await platform.define(prices={"files": {"eu": {}, "us": {}}})
    async with visiting(browser, platform.url) as visit:
        await visit.go("/tasks/prices")
        await visit.page.get_by_role("link", name="Pause").click()
        await visit.until_shown("Nothing of it is called any more")
        await because(visit, "the provider moves", "Pause prices")
        await visit.until_shown("prices is paused.", ".note")
        assert (await platform.api.get("/v1/tasks/prices"))["paused_note"] == "the provider moves"
        await visit.page.get_by_role("link", name="Resume").click()
        await visit.until_shown("the provider moves")
        await because(visit, "", "Resume prices")
        await visit.until_shown("prices is resumed.", ".note")
        assert (await platform.api.get("/v1/tasks/prices"))["paused_by"] is None
        await visit.page.get_by_role("link", name="Trigger").click()
        await visit.until_shown("A run of it starts at once")
        await visit.page.get_by_label("Payload").fill('{"day": ')
        await because(visit, "it was lost", "Trigger prices")
        await visit.until_shown("payload is not JSON", ".note.bad")
        assert await visit.page.get_by_label("Reason").input_value() == "it was lost"  # what was written is kept
        await visit.page.get_by_label("Payload").fill('{"day": "2026-11-25"}')
        await visit.page.get_by_label("Load the file us").check()
        await visit.page.get_by_role("button", name="Trigger prices").click()
        await visit.until_shown("prices was triggered, and started: run", ".note.good")
    (run,) = (await platform.api.get("/v1/runs?task=prices"))["runs"]
    await platform.until_state(run["id"], "RUNNING")
    call = next(call for call in platform.consumer.calls if call["run"] == run["id"])
    assert (call["payload"], list(call["files"])) == ({"day": "2026-11-25"}, ["us"])
    assert (NOBODY, "explained the trigger", "it was lost") in await platform.audit(f"run {run['id']}")


async def test_runs_are_cancelled_run_again_and_skipped(platform: Platform, browser: Browser) -> None:
    one = {"state": "COMPLETED", "expected": 1, "applied": 1, "rejected": 0}
    platform.says["trades"] = lambda call: told(call, "FAILED", eu=one, us={"state": "FAILED"})
    await platform.define(slow={}, trades={"files": {"eu": {}, "us": {}}})
    slow, failed = await platform.run("slow", "RUNNING"), await platform.run("trades", "FAILED")
    async with visiting(browser, platform.url) as visit:
        await visit.go(f"/runs/{slow}")
        await visit.page.get_by_role("link", name="Cancel").click()
        await visit.until_shown("is told to stop")
        await because(visit, "nobody needs it", f"Cancel run {slow}")
        await visit.until_shown(f"Run {slow} is cancelled.", ".note.good")
        assert (await platform.audit(f"run {slow}"))[0] == (NOBODY, "cancelled", "nobody needs it")
        await visit.go(f"/runs/{slow}/rerun")
        await visit.until_shown("a run that is CANCELLED cannot be rerun", ".note.bad")
        assert await visit.page.get_by_role("button", name="Rerun").count() == 0
        await visit.go(f"/runs/{failed}/rerun")
        await visit.until_shown("asked to load the files us again")
        await visit.until_shown("stay as they are: eu")
        await because(visit, "it is mended", f"Rerun run {failed}")
        await visit.until_shown(f"Run {failed} is run again.", ".note.good")
        await platform.until_state(failed, "FAILED")
        assert list(platform.consumer.calls[-1]["files"]) == ["us"]
        await visit.go(f"/runs/{failed}/skip")
        await because(visit, "never mind", f"Skip run {failed}")
        await visit.until_shown(f"Run {failed} is skipped.", ".note.good")
        assert (await platform.api.get(f"/v1/runs/{failed}"))["state"] == "CANCELLED"


async def test_many_runs_and_tasks_are_changed_at_once_after_their_number_is_confirmed(
    platform: Platform, browser: Browser
) -> None:
    platform.says["bad"] = lambda call: told(call, "FAILED")
    await platform.define(bad={}, bulk_a={}, bulk_b={})
    runs = [await platform.run("bad", "FAILED") for _ in range(3)]
    platform.says["bad"] = lambda call: told(call, "COMPLETED")
    async with visiting(browser, platform.url) as visit:
        await visit.go("/runs?task=bad")
        await visit.page.get_by_role("link", name="Rerun all that failed").click()
        await visit.until_shown(f"run {runs[0]} of bad, FAILED")
        await visit.page.get_by_label("Write 3 to confirm").fill("2")
        await because(visit, "all are mended", "Rerun 3 runs")
        await visit.until_shown("Nothing was done", ".note.bad")
        # The question still lists all three; of one of them the state is another one now.
        await platform.api("POST", f"/v1/runs/{runs[1]}/skip", {"reason": "not this one"})
        await visit.page.get_by_label("Write 3 to confirm").fill("3")
        await because(visit, "all are mended", "Rerun 3 runs")
        await visit.until_shown("2 runs are run again; 1 other could not be", ".note")
        for run, state in zip(runs, ("COMPLETED", "CANCELLED", "COMPLETED"), strict=True):
            await platform.until_state(run, state)
        assert (NOBODY, "rerun", "all are mended") in await platform.audit(f"run {runs[2]}")
        await visit.go("/?q=bulk_")
        await visit.page.get_by_role("link", name="Pause these tasks").click()
        await visit.page.get_by_label("Write 2 to confirm").fill("2")
        await because(visit, "the night", "Pause 2 tasks")
        await visit.until_shown("2 tasks are paused.", ".note")
    tasks = {each["name"]: each["paused_note"] for each in (await platform.api.get("/v1/tasks"))["tasks"]}
    assert {name: each for name, each in tasks.items() if each} == {"bulk_a": "the night", "bulk_b": "the night"}


async def test_ticks_that_never_triggered_are_shown_and_made_up_for(platform: Platform, browser: Browser) -> None:
    await platform.define(nightly={"cron": "0 2 * * *"})
    async with visiting(browser, platform.url) as visit:
        await visit.go("/tasks/nightly")
        await visit.page.get_by_role("link", name="Backfill").click()
        for start, says in (("soon", "'soon' is no time"), ("2026-11-09", "the range begins at")):
            await visit.page.get_by_label("From").fill(start)
            await visit.page.get_by_label("To, ").fill("2026-11-04")
            await visit.page.get_by_role("button", name="Show the ticks").click()
            await visit.until_shown(says, ".note.bad")
            await visit.page.get_by_role("link", name="Back").click()
        await visit.page.get_by_label("From").fill("2026-11-01")
        await visit.page.get_by_label("To, ").fill("2026-11-04")
        await visit.page.get_by_role("button", name="Show the ticks").click()
        await visit.until_shown("2026-11-03T02:00:00Z", "form li")
        assert (await platform.api.get("/v1/runs?task=nightly"))["runs"] == []
        await visit.page.get_by_role("button", name="Trigger 3 ticks").click()
        await visit.until_shown("3 ticks of nightly triggered", ".note.good")
    runs = (await platform.api.get("/v1/runs?task=nightly"))["runs"]
    assert [run["key"] for run in runs] == [f"calendar 2026-11-0{day}T02:00:00+00:00" for day in (3, 2, 1)]
    assert "backfilled" in {what for _, what, _ in await platform.audit("nightly")}


async def test_an_alert_is_acknowledged_also_without_the_script(platform: Platform, browser: Browser) -> None:
    platform.says["alerting"] = lambda call: told(call, "FAILED")
    await platform.define(alerting={})
    run = await platform.run("alerting", "FAILED")
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{platform.url}/alerts")
    row = page.locator("tr").filter(has_text=f"run {run} of alerting is FAILED")
    await row.get_by_role("link", name="Acknowledge").click()
    await page.get_by_label("Note").fill("I ask them")
    await page.get_by_role("button", name="Acknowledge").click()
    await row.filter(has_text=f"{NOBODY}: I ask them").wait_for()
    await context.close()


async def test_who_comes_in_and_what_they_may_do_is_what_the_api_says(platform: Platform, browser: Browser) -> None:
    await platform.define(guarded={})
    run = await platform.run("guarded", "RUNNING")
    async with visiting(browser, platform.closed) as visit:
        await visit.go("/runs?task=guarded")
        assert "/sign-in" in visit.page.url
        for token, says in (("wrong", "not known"), (f"{'blind':-<20}", "the scope runs:read is missing")):
            await visit.page.get_by_label("Token").fill(token)
            await visit.page.get_by_role("button", name="Sign in").click()
            await visit.until_shown(says)
        visit.complaints.clear()  # the browser tells of the status 403
        await visit.page.get_by_label("Token").fill(f"{'reader':-<20}")
        await visit.page.get_by_role("button", name="Sign in").click()
        await visit.until_shown("guarded", "#part-runs")
        await visit.live()
        cookie = (await visit.page.context.cookies())[0]
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        await visit.go(f"/runs/{run}")
        assert await visit.page.get_by_role("link", name="Cancel").count() == 0
        await visit.go(f"/runs/{run}/cancel")
        await visit.until_shown("You may look, and change nothing")
        await visit.page.get_by_role("button", name="Sign out").click()
        await visit.page.get_by_label("User").fill("ada")
        await visit.page.get_by_label("Token or password").fill("correct horse")
        await visit.page.get_by_role("button", name="Sign in").click()
        await visit.go(f"/runs/{run}/cancel")
        await because(visit, "it is Friday", "Cancel run")
        await visit.until_shown(f"Run {run} is cancelled.")
        await visit.until_shown("signed in as user ada", "footer")
    assert (await platform.audit(f"run {run}"))[0] == ("user ada", "cancelled", "it is Friday")


@pytest.mark.parametrize(
    ("node", "headers", "status"),
    [
        ("url", {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403),
        ("url", {}, 403),
        ("url", {"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ("closed", {"Authorization": f"Bearer {'reader':-<20}"}, 403),
        ("closed", {"Authorization": "Bearer wrong"}, 401),
        ("closed", {"Authorization": "Basic YWRhOmNvcnJlY3QgaG9yc2U=", "Sec-Fetch-Site": "cross-site"}, 403),
        ("closed", {"Cookie": "snk=forged", "Sec-Fetch-Site": "same-origin"}, 401),
        ("closed", {"Authorization": f"Bearer {'admin':-<20}"}, 303),
    ],
)
async def test_nobody_else_changes_anything(
    platform: Platform, node: str, headers: dict[str, str], status: int
) -> None:
    await platform.define(kept={})
    url = f"{getattr(platform, node)}/tasks/kept/pause"
    form: dict[str, Any] = {"data": {"reason": "because"}, "headers": headers, "allow_redirects": False}
    async with platform.session.post(url, **form) as answer:
        assert answer.status == status, await answer.text()
    paused = (await platform.api.get("/v1/tasks/kept"))["paused_by"]
    assert paused == ("token admin" if status == 303 else None)
    await platform.api("POST", "/v1/tasks/kept/resume", {})


async def test_pages_tell_browsers_to_load_nothing_from_elsewhere(platform: Platform) -> None:
    async with platform.session.get(f"{platform.url}/runs", headers={"Accept": "text/html"}) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert answer.headers.getall("X-Content-Type-Options") == ["nosniff"]
        assert answer.headers["Cache-Control"] == "no-store"
    answers = (await platform.api.get("/status"))["answers"]
    assert any((each["request"], each["status"]) == ("GET /runs", 200) for each in answers)


@pytest.mark.long
async def test_a_token_that_the_platform_signs_opens_its_pages(world: World, session: aiohttp.ClientSession) -> None:
    world.configure(auth={"keys": str(world.folder / "keys")})
    world.snk("keys", "rotate")
    world.start("a")
    url = await world.url("a")
    for scope, status in (("messages:write", 403), ("runs:read", 303)):
        token = world.snk("token", "--scope", scope, "--subject", "eve").stdout.strip()
        form: dict[str, Any] = {"data": {"token": token, "to": "/runs"}, "headers": {"Origin": url}}
        async with session.post(f"{url}/sign-in", allow_redirects=False, **form) as answer:
            assert answer.status == status, await answer.text()
    cookie = {"Cookie": f"{answer.headers['Set-Cookie'].partition(';')[0]}"}
    async with session.get(f"{url}{answer.headers['Location']}", headers=cookie) as page:
        assert (page.status, "signed in as snk-batch/eve" in await page.text()) == (200, True)
    async with session.get(f"{url}/runs", headers={"Cookie": f"{cookie['Cookie']}x"}) as page:
        assert page.status == 401
