"""Who may see the pages of the hand-off, and who may change something; and what programs ask for, as before."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from snk.handoff.allow import allowed
from snk.handoff.portal.measured import Measured
from snk.handoff.portal.site import Sources, site
from snk.handoff.service import application
from snk.handoff.settings import load_settings
from snk.handoff.status import Limits, Watcher
from snk.handoff.visitors import Visitors
from snk.http.service import Address, listening, serve_open
from tests.kit.handoff import World, line, until
from tests.kit.scripted import Backend

BASIC = {"Authorization": "Basic " + b64encode(b"sync:sync").decode()}
BEARER = {"Authorization": "Bearer anything"}
RIGHT = {"user": "sync", "password": "sync"}
Ask = Callable[..., Awaitable[tuple[int, str]]]
Answering = Callable[..., AbstractAsyncContextManager[Ask]]


@pytest.fixture
def answering(world: World, backend: Backend) -> Answering:
    """A service whose server has one dead letter; its addresses are those of this machine, or others."""
    backend.says = lambda _: web.Response(status=400)
    world.write(backend.name, line("a"))

    @asynccontextmanager
    async def serving(addresses: str = "127.0.0.1", host: str = "127.0.0.1") -> AsyncIterator[Ask]:
        stop = asyncio.Event()
        settings = load_settings(world.config())
        jar = aiohttp.CookieJar(unsafe=True)  # also of addresses, as browsers do
        async with world.running() as server, aiohttp.ClientSession(cookie_jar=jar) as session:
            await until(lambda: len(world.dead()) == 1, "the dead letter")
            watcher, visitors = Watcher(server, Limits()), Visitors(allowed(addresses), "sync", "sync", host)
            portal = site(Sources(server, watcher, Measured(server), settings), door=visitors, stop=stop)
            with listening(Address("127.0.0.1", 0), guarded=True) as bound:
                bound.listen()  # whoever asks before the service has begun waits
                base = f"http://127.0.0.1:{bound.getsockname()[1]}"
                shown = application(watcher.status, visitors, portal.routes())
                task = asyncio.create_task(serve_open(shown, bound, stop))

                async def ask(path: str, form: dict[str, str] | None = None, **headers: str) -> tuple[int, str]:
                    method = "GET" if form is None else "POST"
                    given = {name.replace("_", "-"): value for name, value in headers.items()}
                    options = {"data": form, "headers": given, "allow_redirects": False}
                    async with session.request(method, base + path, **options) as answer:  # type: ignore[arg-type]
                        return answer.status, await answer.text()

                try:
                    yield ask
                finally:
                    stop.set()
                    await task

    return serving


async def test_a_web_site_cannot_make_a_browser_look_or_sign_in_under_a_name_of_its_own(answering: Answering) -> None:
    async with answering(host="sync.example") as ask:
        for host in ("evil.example", "evil.example:8090", "127.0.0.1.evil.example", "localhost.evil.example"):
            for path in ("/", "/dead", "/live/", "/portal/portal.css", "/nothing"):
                assert (await ask(path, Host=host))[0] == 403, (host, path)
            assert (await ask("/sign-in", RIGHT, Host=host, Sec_Fetch_Site="same-origin"))[0] == 403, host
        for host in ("127.0.0.1", "[::1]:8090", "10.1.2.3:8090", "localhost:8090", "SYNC.example"):
            assert (await ask("/", Host=host))[0] == 200, host


async def test_what_programs_ask_for_answers_under_any_name(answering: Answering) -> None:
    async with answering() as ask:
        assert await ask("/status.html", Host="sync1.example") == (200, "ok\n")
        for path, code in (
            ("/sync_status?backend_count=1", 200),
            ("/status", 200),
            ("/metrics", 200),
            ("/health", 503),
        ):
            assert (await ask(path, Host="sync1.example", **BASIC))[0] == code, path
        assert (await ask("/sync_status", {}))[0] == 401
        assert (await ask("/sync_status", {}, **BASIC))[0] == 405


async def test_an_address_that_is_not_allowed_sees_no_page(answering: Answering) -> None:
    async with answering("10.0.0.1") as ask:
        for path in ("/", "/dead", "/sign-in", "/portal/portal.css", "/status.html"):
            assert await ask(path) == (403, "this address is not allowed\n"), path


async def test_only_who_has_signed_in_changes_something_and_only_from_our_pages(
    answering: Answering, world: World
) -> None:
    other = [{"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": "cross-site"}, {}]
    async with answering() as ask:
        name = next(iter(world.letters.all()))[0]
        form = {"letter": name}
        ours = {"Sec_Fetch_Site": "same-origin"}
        for headers in (ours, {**ours, **BASIC}, {**ours, **BEARER}, BEARER):
            assert (await ask("/dead/drop", form, **headers))[0] == 403, headers
        assert (await ask("/sign-in", {**RIGHT, "password": "wrong"}, **ours))[0] == 403
        for headers in other:
            assert (await ask("/sign-in", RIGHT, **headers))[0] == 403, headers
        assert (await ask("/sign-in", RIGHT, **ours))[0] == 303  # from here on, the session has the cookie
        for headers in (*other, *({**each, **BASIC} for each in other)):
            assert (await ask("/dead/drop", form, **headers))[0] == 403, headers
        assert (await ask("/dead/drop", {**form, "x": "x" * 20_000}, **ours))[0] == 413
        assert (await ask(f"/dead/drop?letter={name}"))[0] == 405
        assert len(world.dead()) == 1
        assert (await ask("/dead/drop", form, **ours))[0] == 303
        assert world.dead() == []


async def test_the_user_and_password_as_a_bearer_token_are_those_of_an_operator(
    answering: Answering, world: World
) -> None:
    token = {"Authorization": "Bearer sync:sync", "Sec_Fetch_Site": "same-origin"}
    async with answering() as ask:
        name = next(iter(world.letters.all()))[0]
        viewer = {**token, "X-Snk-Role": "viewer"}
        for headers, buttons in ((token, True), (viewer, False)):
            _, shown = await ask(f"/dead/confirm?do=drop&letter={name}", **headers)
            assert ("<button" in shown.partition("<main")[2], "sign-in" in shown) == (buttons, False), headers
        assert (await ask("/dead/drop", {"letter": name}, **viewer))[0] == 403
        assert (await ask("/dead/drop", {"letter": name}, **{**token, "Authorization": "Bearer sync:x"}))[0] == 403
        assert (await ask("/dead/drop", {"letter": name}, **token))[0] == 303
        assert world.dead() == []


@pytest.mark.parametrize(
    ("host", "password", "opens"),
    [("0.0.0.0", "sync", False), ("handoff", "sync", False), ("127.0.0.1", "sync", True), ("0.0.0.0", "own", True)],
)
async def test_the_password_that_everybody_knows_opens_nothing_to_other_machines(
    host: str, password: str, *, opens: bool
) -> None:
    visitors = Visitors(allowed("0.0.0.0/0"), "sync", password, host)
    assert (await visitors.signed_in({"user": "sync", "password": password}) is not None) == opens
    assert visitors.role([f"Bearer sync:{password}".encode()]) == ("operator" if opens else "viewer")


async def test_a_cookie_of_another_process_is_none() -> None:
    here, there = (Visitors(allowed("127.0.0.1"), "sync", "sync") for _ in range(2))
    cookie = await there.signed_in(RIGHT)
    assert cookie is not None
    assert there.role([], [cookie]) == "operator"
    assert here.role([], [cookie]) == "viewer"
    assert await here.signed_in({"user": "sync", "password": "syn"}) is None
    assert await here.signed_in({}) is None
