"""What the portal passes on to processes, and what it keeps from them and from its visitors."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr
from starlette.applications import Starlette
from yarl import URL

from snk.errors import SettingsError
from snk.http.door import Door
from snk.http.service import Address, listening, serve
from snk.portal.forward import Forward
from snk.portal.reached import MOST_REASONS, Processes
from snk.portal.settings import Process
from snk.portal.site import site
from tests.kit import sites
from tests.kit.databases import until

TOKEN, VIEW_TOKEN, THEIRS = "operator-token-0123", "viewer-token-012345", "token-of-the-process"
HUB = {"operator": {"Authorization": f"Bearer {TOKEN}"}, "viewer": {"Authorization": f"Bearer {VIEW_TOKEN}"}}


@dataclass
class Upstream:
    """A process that is shown; it keeps what it is asked, and says what a test wants."""

    troubles: int = 0
    port: int = 0
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.raw_path, dict(request.headers)))
        if request.path == "/health":
            reasons = [f"trouble {number} {'x' * 50}" for number in range(self.troubles)]
            return web.Response(text=json.dumps({"status": "not healthy" if reasons else "ok", "reasons": reasons}))
        return web.Response(text='<p class="name"><a href="/tables">x</a></p>', content_type="text/html")


@dataclass
class Hub:
    """A portal in front of two processes."""

    url: str
    one: Upstream
    other: Upstream
    session: aiohttp.ClientSession

    async def ask(self, path: str, who: str = "operator", method: str = "GET") -> tuple[int, str, dict[str, str]]:
        url = URL(f"{self.url}{path}", encoded=True)
        async with self.session.request(method, url, headers=HUB[who], allow_redirects=False) as answer:
            return answer.status, await answer.text(), {name.lower(): each for name, each in answer.headers.items()}


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """The portal as it runs, but for its command."""
    one, other, stop = Upstream(), Upstream(), asyncio.Event()
    door = Door(TOKEN, view_token=VIEW_TOKEN)
    async with AsyncExitStack() as stack:
        for each in (one, other):
            await stack.enter_async_context(sites.serving(each, "*", "/{path:.*}"))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        found = [Process(name="one", url=f"http://127.0.0.1:{one.port}", token=SecretStr(THEIRS))]
        processes = Processes(found, session)
        bound = stack.enter_context(listening(Address("127.0.0.1", 0), guarded=True))
        own = site(processes, door=door, stop=stop)
        app = Starlette(routes=[*own.routes(), Forward(processes, own).route()])
        made = Hub(f"http://127.0.0.1:{bound.getsockname()[1]}", one, other, session)
        serving = asyncio.create_task(serve(app, bound, stop, door))
        try:
            yield made
        finally:
            stop.set()
            await serving


async def test_a_process_gets_its_own_token_and_what_the_visitor_may_do(hub: Hub) -> None:
    for who in ("operator", "viewer"):
        status, text, headers = await hub.ask("/p/one/tables?sort=name", who)
        assert (status, 'href="/p/one/tables"' in text) == (200, True)
        assert headers["content-security-policy"].startswith("default-src 'none'")
        method, path, sent = hub.one.asked[-1]
        assert (method, path) == ("GET", "/tables?sort=name")
        assert sent["Authorization"] == f"Bearer {THEIRS}"
        assert sent["x-snk-role"] == who


async def test_viewers_change_nothing_and_operators_do(hub: Hub) -> None:
    status, _, _ = await hub.ask("/p/one/do", "viewer", "POST")
    assert (status, hub.one.asked) == (403, [])
    status, _, _ = await hub.ask("/p/one/do", "operator", "POST")
    assert (status, hub.one.asked[-1][0]) == (200, "POST")


async def test_no_address_leads_to_another_host(hub: Hub) -> None:
    there = f"127.0.0.1:{hub.other.port}"
    for path in (
        f"/p/one%2F@{there}/",
        f"/p/one@{there}/",
        f"/p/one%40{there}/",
        f"/p/%6fne/@{there}/",
        f"/p/one:80@{there}/",
        f"/p/one//{there}/",
        f"/p/one/@{there}/",
        f"/p/one/..//{there}/",
    ):
        status, _, _ = await hub.ask(path)
        assert status in (200, 404), path
        assert hub.other.asked == [], path


async def test_a_page_without_its_end_is_led_to_it(hub: Hub) -> None:
    status, _, headers = await hub.ask("/p/one")
    assert (status, headers["location"]) == (303, "/p/one/")


async def test_many_troubles_are_told_in_part(hub: Hub) -> None:
    hub.one.troubles = 20_000

    async def told() -> str:
        _, text, _ = await hub.ask("/")
        return text

    text = await told()
    assert "not healthy" in text
    assert f"and {20_000 - MOST_REASONS:,} more" in text
    hub.one.troubles = 0

    async def healthy() -> bool:
        return "badge good" in await told()

    await until(healthy, "the process to be healthy")


@pytest.mark.parametrize("name", ["ORDERS", "a b", "", "-a", "a/b"])
def test_names_are_parts_of_addresses(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case letters"):
        Process(name=name, url="http://127.0.0.1:1")


def test_tokens_that_are_empty_or_the_same_are_refused(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from snk.portal.settings import load_settings  # noqa: PLC0415 - read after the environment is set

    config = tmp_path / "snk.toml"
    rest = '[[portal.processes]]\nname = "a"\nurl = "http://127.0.0.1:1"\n'
    monkeypatch.setenv("EMPTY", "")
    config.write_text(f'[portal]\ntoken = "env:EMPTY"\n{rest}')
    assert load_settings(config).operators_token is None, "it is as if there were none"
    config.write_text(f'[portal]\ntoken = "{TOKEN}"\nview_token = "{TOKEN}"\n{rest}')
    with pytest.raises(SettingsError, match=r"portal\.view_token is the same as portal\.token"):
        load_settings(config)
