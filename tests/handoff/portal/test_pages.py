"""What a person sees of a sync server in a browser, and does there: real processes, backends, logs and dead letters."""

import json
from collections.abc import Awaitable, Callable

from aiohttp import web
from playwright.async_api import Browser

from tests.handoff.portal.conftest import Serving
from tests.kit.browser import Visit, visiting
from tests.kit.handoff import NEXT, World, until
from tests.kit.looks import fits
from tests.kit.scripted import Backend, Got

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&"
Backends = Callable[[], Awaitable[Backend]]


def write(number: int, **more: object) -> bytes:
    """A line of JSON whose body and headers are hostile."""
    headers = {"X-Api-Key": "very-secret", "X-Note": HOSTILE}
    given = {"method": "PUT", "path": f"/orders/{number}", "headers": headers, "body": f"{number} {HOSTILE}"}
    return json.dumps({**given, **more}).encode() + b"\n"


def refused(_: Got) -> web.Response:
    return web.Response(status=400, text=HOSTILE)


async def sign_in(visit: Visit, password: str = "sync") -> None:
    await visit.page.get_by_label("User").fill("sync")
    await visit.page.get_by_label("Password").fill(password)
    await visit.page.get_by_role("button", name="Sign in").click()


async def test_pages_show_what_waits_and_what_is_sent(
    world: World, backends: Backends, serving: Serving, browser: Browser
) -> None:
    alive, down = await backends(), await backends()
    await down.stop()
    world.write(alive.name, b"".join(map(write, range(1234))))
    world.write(down.name, b"".join(map(write, range(17))))
    (world.logs / HOSTILE.replace("/", "")).mkdir()
    async with serving(codec="jsonl") as url, visiting(browser, url) as visit:
        await visit.go("/")
        await visit.live()
        await visit.until_shown("1 of 2", "#part-totals")
        await visit.until_shown("1,234", "#part-backends")
        await visit.until_shown("17 lines wait: it cannot be reached", "#part-backends")
        await visit.until_shown("<script>", "#part-backends")
        await visit.until_shown("backend down", "#part-events")
        assert await visit.page.locator("#part-charts svg").count() == 2
        world.write(alive.name, b"".join(map(write, range(100))), NEXT)
        await visit.until_shown("1,334", "#part-totals")  # without a reload
        await visit.page.get_by_role("link", name=down.name).first.click()
        await visit.until_shown("2023-11-14-22-13.log", "#part-logs")
        await visit.until_shown("waits", "#part-logs")
        assert await visit.page.locator("progress").get_attribute("max") == "17"
        await down.start()
        await visit.until_shown("up to date", "#part-backend")
        await visit.until_shown("Nothing waits", "#part-logs")
        assert "owned" not in await visit.page.title()


async def test_dead_letters_are_replayed_and_dropped_after_a_confirmation(
    world: World, backend: Backend, serving: Serving, browser: Browser
) -> None:
    backend.says = refused
    world.write(backend.name, b"".join(map(write, range(4))) + b"no json\n")
    async with serving(codec="jsonl") as url, visiting(browser, url) as visit:
        await until(lambda: len(world.dead()) == 5, "the dead letters")
        await visit.go(f"/dead?backend={backend.name}")
        await visit.until_shown(f"{backend.name}: 5 dead letters")
        await visit.page.get_by_role("link", name="Sign in to replay").click()
        await sign_in(visit, "wrong")
        await visit.until_shown("The user or the password is wrong")
        visit.complaints.clear()  # the browser tells of the status 403
        await sign_in(visit)
        await visit.until_shown("Replay all 5")
        assert visit.page.url.endswith(f"/dead?backend={backend.name.replace(':', '%3A')}")

        await visit.page.get_by_role("link", name="log:1").first.click()
        shown = await visit.text()
        assert "/orders/0" in shown
        assert f"0 {HOSTILE}" in shown
        assert "very-secret" not in shown
        assert "answers 400 " in shown
        backend.says = lambda _: web.Response()
        backend.got.clear()
        await visit.page.get_by_role("link", name="Replay…").click()
        assert (len(world.dead()), backend.got) == (5, []), "nothing is done before the confirmation"
        await visit.page.get_by_role("button", name="Replay 1").click()
        await visit.until_shown("1 dead letter", ".note.good")
        await until(lambda: [got.target for got in backend.got] == ["/orders/0"], "the line to be sent again")
        assert backend.got[0].body.decode() == f"0 {HOSTILE}"
        await visit.until_shown("4 dead letters", "#part-dead")

        await visit.page.get_by_role("link", name="log:2").first.click()
        await visit.page.get_by_role("link", name="Drop…").click()
        await visit.until_shown("deleted for good")
        await visit.page.get_by_role("button", name="Drop 1").click()
        await visit.until_shown("1 dead letter", ".note.good")
        assert [line for _, line, _ in world.dead()] == [3, 4, 5]

        await visit.page.get_by_role("link", name="Replay all 3").click()
        await visit.until_shown("Replay 3 dead letters?")
        world.letters.drop(world.letters.names(backend.name)[0])  # as `snk handoff dead drop` does
        await visit.page.get_by_role("button", name="Replay 3").click()
        await visit.until_shown("Other dead letters are there now", ".note.bad")
        assert len(world.dead()) == 2
        await visit.go(f"/dead/confirm?do=replay&backend={backend.name}")
        await visit.page.get_by_role("button", name="Replay 2").click()
        await visit.until_shown("2 dead letters", ".note.good")
        await until(lambda: backend.targets == ["/orders/0", "/orders/3"], "the other line to be sent again")
        await until(lambda: [line for _, line, _ in world.dead()] not in ([], [4, 5]), "the bad line to be dead again")
        assert [why.startswith("it is not JSON") for _, _, why in world.dead()] == [True]


async def test_who_has_not_signed_in_sees_no_body_and_is_asked_to(
    world: World, backend: Backend, serving: Serving, browser: Browser
) -> None:
    backend.says = refused
    world.write(backend.name, write(1) + b"no json\n")
    async with serving(codec="jsonl", user="ops", password="pass:word") as url, visiting(browser, url) as visit:
        await until(lambda: len(world.dead()) == 2, "the dead letters")
        for number, name in enumerate(world.letters.names(backend.name)):
            await visit.go(f"/dead/{name}")
            shown = await visit.text()
            assert "may be confidential" in shown
            assert ("/orders/1" in shown) == (number == 0)
            assert HOSTILE not in shown.partition("Request")[2]
            assert "no json" not in shown
        await visit.go(f"/dead/confirm?do=drop&backend={backend.name}")
        assert await visit.page.get_by_role("button", name="Drop").count() == 0
        await visit.page.locator("main").get_by_role("link", name="Sign in").click()
        await visit.page.get_by_label("User").fill("ops")
        await visit.page.get_by_label("Password").fill("pass:word")
        await visit.page.get_by_role("button", name="Sign in").click()
        await visit.page.get_by_role("button", name="Drop 2").click()
        await visit.until_shown("2 dead letters", ".note.good")
        assert world.dead() == []


async def test_pages_are_for_everybody(world: World, backend: Backend, serving: Serving, browser: Browser) -> None:
    backend.says = lambda got: refused(got) if got.target == "/orders/1" else web.Response(status=503)
    world.write(backend.name, b"".join(map(write, range(9))))
    async with serving(codec="jsonl") as url:
        await until(lambda: bool(world.dead()), "a dead letter")
        name = world.letters.names(backend.name)[0]
        confirm = f"/dead/confirm?do=drop&backend={backend.name}"
        paths = ("/", f"/backends/{backend.name}", "/dead", f"/dead/{name}", confirm, "/events", "/sign-in")
        for dark, phone in ((False, False), (False, True), (True, False)):
            async with visiting(browser, url, dark=dark, phone=phone) as visit:
                await visit.go("/sign-in?to=/dead")
                await sign_in(visit)
                await visit.until_shown("Sign out")
                await fits(visit, paths)
