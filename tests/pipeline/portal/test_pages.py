"""What a person sees of the pipeline in a browser, and what its forms do: exactly what the commands do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from aiohttp import web
from playwright.async_api import Browser

from snk.embedded.process import free_port
from tests.kit.browser import Visit, visiting
from tests.kit.looks import for_everybody
from tests.kit.pipeline import Pair, iso, record

FRAMES = 4
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&"
TOKENS = ("operator-token-0123", "viewer-token-012345")


async def _refuses(request: web.Request) -> web.StreamResponse | None:
    """Refuse the records of two frames."""
    bad = request.headers["Idempotency-Key"].startswith(("u1-", "u2-"))
    return web.Response(status=422, text=HOSTILE) if bad else None


@asynccontextmanager
async def running(pair: Pair, **settings: Any) -> AsyncIterator[str]:
    """The address of a pipeline that has brought over all frames but two, which are set aside."""
    for frame in range(FRAMES):
        at = pair.start_of(frame)
        pair.sender.records += [record(f"u{frame}-{number}", at + timedelta(seconds=number)) for number in range(2)]
    pair.receiver.answer = _refuses
    port = free_port()
    pair.configure(port=port, quota_bytes=2**30, **settings)
    process = pair.start("run")
    try:
        await pair.until(lambda: len(pair.set_aside()) == 2)
        await pair.until(lambda: {pair.name(0), pair.name(3)} <= pair.finished())
        yield f"http://127.0.0.1:{port}"
    finally:
        await asyncio.to_thread(process.send_signal, 15)
        await asyncio.to_thread(process.wait, 60)


async def pressed(visit: Visit, name: str) -> None:
    """Press a button of a page of confirmation."""
    await visit.page.get_by_role("button", name=name, exact=True).click()


async def test_frames_are_seen_and_what_is_set_aside_is_tried_again_or_given_up(pair: Pair, browser: Browser) -> None:
    async with running(pair) as url, visiting(browser, url) as visit:
        first, bad, other = (pair.name(frame) for frame in range(3))
        await visit.go(f"/?day={pair.start_of(1):%Y-%m-%d}&hour={pair.start_of(1):%H}")
        await visit.live()
        await visit.until_shown("running", "#part-processes")
        cell = visit.page.locator(f".cells a[href='/frames/{bad}']")
        assert await cell.get_attribute("title") == f"{pair.start_of(1):%H:%M} quarantined"
        assert await cell.inner_text() == "!"
        await visit.until_shown(f"{pair.start_of(1):%H:%M:%S} quarantined", ".times li")
        await cell.click()
        await visit.until_shown(f"the receiving server answers 422: {HOSTILE}")
        await visit.until_shown('"uid":"u1-0"')
        assert "owned" not in await visit.page.title()

        await visit.page.get_by_role("link", name="Give up").click()
        await visit.until_shown("What was not pushed of them never will be")
        await visit.until_shown("2 records, 0 of them pushed")
        await visit.until_shown(f"snk pipeline quarantine drop {iso(pair.start_of(1))}")
        assert bad not in pair.done(), "nothing is done before it is confirmed"
        await pressed(visit, "Give up")
        await visit.until_shown("1 frame given up.")
        assert "422" in pair.done()[bad]["dropped"]
        await visit.until_shown("A person gave it up")
        assert set(pair.set_aside()) == {other}

        pair.receiver.answer = None
        await visit.go("/quarantine")
        await visit.page.get_by_role("link", name="Try all again").click()
        await pressed(visit, "Try again")
        await visit.until_shown("1 frame will be tried again.")
        await pair.until(lambda: other in pair.finished())
        await visit.until_shown("Nothing is in quarantine", "#part-quarantine")  # without a reload

        await visit.go(f"/frames/{first}")
        await visit.until_shown(pair.done()[first]["digest"])
        await visit.page.get_by_role("link", name="Pull and push again").click()
        await visit.until_shown("which proves 2 records")
        await visit.page.get_by_label("Send other Idempotency-Keys").check()
        await pressed(visit, "Pull and push again")
        await visit.until_shown("The frame will be pulled and pushed again.")
        await pair.until(lambda: f"{first}.1" in pair.done())
        assert pair.done()[f"{first}.1"]["again"]
        assert sum(key.startswith("u0-0~") for key in pair.receiver.received) == 1, "its keys are others"
        await visit.until_shown("All records of the frame, sent once more")


async def test_what_changed_since_it_was_shown_is_not_done(pair: Pair, browser: Browser) -> None:
    async with running(pair) as url, visiting(browser, url) as visit:
        await visit.go("/quarantine/all/drop")
        pair.receiver.answer = None  # or the frame would be set aside again at once
        (pair.space / "rss/quarantine" / f"{pair.name(2)}.json").unlink()
        await pressed(visit, "Give up")
        await visit.until_shown("What is in quarantine has changed")
        assert pair.finished().isdisjoint({pair.name(1)})
        never = pair.name(10**6)
        answer = await visit.page.request.post(f"{url}/frames/{never}/again", headers={"Origin": url})
        assert "is not done" in await answer.text()
        assert not list((pair.space / "sss/again").iterdir())
        for path in ("/frames/x", f"/frames/{never}.1"):
            assert (await visit.page.request.get(f"{url}{path}")).status == 404


async def test_pages_are_for_everybody_and_who_may_only_look_changes_nothing(pair: Pair, browser: Browser) -> None:
    async with running(pair, token=TOKENS[0], view_token=TOKENS[1]) as url:
        bad = pair.name(1)
        paths = (
            f"/?day={pair.start_of(1):%Y-%m-%d}&hour={pair.start_of(1):%H}",
            f"/frames/{bad}",
            f"/frames/{pair.name(0)}",
            f"/frames/{pair.name(0)}/again",
            "/quarantine",
            f"/quarantine/{bad}/drop",
        )
        async with visiting(browser, url) as visit:
            await visit.go("/quarantine")
            await visit.page.get_by_label("Token").fill(TOKENS[1])
            await pressed(visit, "Sign in")
            await visit.until_shown("2 frames", "#part-quarantine")
            for path in paths:
                await visit.go(path)
                assert await visit.page.get_by_role("main").locator("form[method=post], .buttons").count() == 0, path
            for path in (f"/quarantine/{bad}/drop", "/quarantine/all/retry", f"/frames/{pair.name(0)}/again"):
                answer = await visit.page.request.post(f"{url}{path}", headers={"Origin": url})
                assert answer.status == 403
            assert len(pair.set_aside()) == 2
        await for_everybody(browser, url, paths, token=TOKENS[0])
