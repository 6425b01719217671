"""Who may see pages, and who may change something: the guard, the door and the sign-in of a real service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from snk.errors import SettingsError
from snk.http.door import Door, cookie_name
from snk.http.portal import site as site_module
from snk.http.portal.page import Action, Done, Form, Page
from snk.http.portal.site import About, Site
from snk.http.service import Address, listening, serve
from tests.kit.databases import until

TOKEN, VIEW_TOKEN = "operator-token-0123", "viewer-token-012345"
HOSTILE = "<script>alert(1)</script>"


class Served:
    """A small site with one page and two actions, as long as the block lasts.

    Attributes:
        done: the forms that its action was given.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.done: list[dict[str, str]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def served(folder: Path, *tokens: str) -> AsyncIterator[Served]:
    (folder / "parts").mkdir()
    (folder / "first.html").write_text(
        '{% extends "base.html" %}{% block content %}{{ part("one", values) }}{% endblock %}'
    )
    (folder / "parts" / "one.html").write_text("<p>{{ hostile }}{% if operator %}<b>may act</b>{% endif %}</p>")
    token, view_token = (*tokens, None, None)[:2]
    stop, door = asyncio.Event(), Door(token, view_token=view_token)
    with listening(Address("127.0.0.1", 0), guarded=bool(tokens)) as bound:
        found = Served(bound.getsockname()[1])

        async def look(_: Request) -> dict[str, Any]:
            return {"hostile": HOSTILE}

        async def do(form: Form, _: str) -> Done:
            found.done.append(dict(form))
            return Done(f"done with {form.get('what')}", "/")

        async def refuse(_: Form, __: str) -> Done:
            raise SettingsError("this is wrong", hint="Do it right")

        pages = [Page("/", "First", "first.html", look, ("one",))]
        actions = [Action("/do", do, "/"), Action("/refuse", refuse, "/")]
        site = Site(About("any", "name", tuple), folder, pages, actions, door=door, stop=stop)
        async with asyncio.TaskGroup() as group:
            group.create_task(serve(Starlette(routes=site.routes()), bound, stop, door))
            try:
                yield found
            finally:
                stop.set()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that keeps cookies, also those of addresses."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


OURS = {"Sec-Fetch-Site": "same-origin"}
NOT_OURS: list[dict[str, str]] = [
    {},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
]


async def test_only_pages_of_the_service_may_change_something(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    async with served(tmp_path) as site:
        await until_there(client, site)
        for headers in NOT_OURS:
            async with client.post(site.url("/do"), data={"what": "x"}, headers=headers) as answer:
                assert answer.status == 403, headers
        assert site.done == []
        for headers in (OURS, {"Origin": f"http://127.0.0.1:{site.port}"}):
            async with client.post(site.url("/do"), data={"what": "x"}, headers=headers) as answer:
                assert answer.status == 200
                assert "done with x" in await answer.text()
        async with client.get(site.url("/do")) as answer:
            assert answer.status == 405
        assert len(site.done) == 2


async def test_what_an_action_refuses_is_said_on_its_page(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    async with served(tmp_path) as site:
        await until_there(client, site)
        async with client.post(site.url("/refuse"), headers=OURS) as answer:
            text = await answer.text()
        assert "this is wrong" in text
        assert "Do it right" in text


async def test_a_link_cannot_make_a_page_say_something(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    async with served(tmp_path) as site:
        await until_there(client, site)
        async with client.get(site.url("/?note=pay%20me")) as answer:
            assert "pay" not in await answer.text()


async def test_values_are_text_and_pages_have_a_strict_policy(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    async with served(tmp_path) as site:
        await until_there(client, site)
        async with client.get(site.url("/")) as answer:
            text, policy = await answer.text(), answer.headers["content-security-policy"]
        assert HOSTILE not in text
        assert "&lt;script&gt;" in text
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy


async def test_viewers_look_and_change_nothing(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    async with served(tmp_path, TOKEN, VIEW_TOKEN) as site:
        for token, may in ((VIEW_TOKEN, False), (TOKEN, True)):
            bearer = {"Authorization": f"Bearer {token}"}
            await until_there(client, site, bearer)
            async with client.get(site.url("/"), headers=bearer) as answer:
                assert ("may act" in await answer.text()) == may
            async with client.post(site.url("/do"), headers=bearer) as answer:
                assert answer.status == (200 if may else 403)
        lowered = {"Authorization": f"Bearer {TOKEN}", "X-Snk-Role": "viewer"}
        async with client.post(site.url("/do"), headers=lowered) as answer:
            assert answer.status == 403
        raised = {"Authorization": f"Bearer {VIEW_TOKEN}", "X-Snk-Role": "operator"}
        async with client.post(site.url("/do"), headers=raised) as answer:
            assert answer.status == 403
        assert len(site.done) == 1


async def test_a_cookie_lets_in_and_only_a_right_one(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    async with served(tmp_path, TOKEN) as site:
        await until_there(client, site, {"Authorization": f"Bearer {TOKEN}"})
        html = {"Accept": "text/html"}
        async with client.get(site.url("/?sort=a"), headers=html, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["location"]) == (303, "/sign-in?to=/%3Fsort%3Da")
        async with client.get(site.url("/"), allow_redirects=False) as answer:
            assert answer.status == 401
        form = {"token": TOKEN, "to": "//evil.example/"}
        async with client.post(site.url("/sign-in"), data=form, headers=OURS, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["location"]) == (303, "/")
            cookie = answer.cookies[cookie_name(site.port)]
            assert (cookie["httponly"], cookie["samesite"]) == (True, "strict")
        async with client.get(site.url("/"), headers=html) as answer:
            assert "may act" in await answer.text()
        async with client.post(site.url("/do"), headers=OURS) as answer:
            assert answer.status == 200
        for forged in ("operator", f"operator.{cookie.value.partition('.')[2]}x", cookie.value[:-1]):
            headers = {"Cookie": f"{cookie_name(site.port)}={forged}"}
            async with aiohttp.ClientSession() as other, other.get(site.url("/"), headers=headers) as answer:
                assert answer.status == 401, forged


async def test_tokens_are_not_guessed_by_trying(
    tmp_path: Path, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_module, "ATTEMPTS_PER_SECOND", 1e-6)
    async with served(tmp_path, TOKEN) as site:
        await until_there(client, site, {"Authorization": f"Bearer {TOKEN}"})
        told = []
        for _ in range(6):
            async with client.post(site.url("/sign-in"), data={"token": "wrong"}, headers=OURS) as answer:
                assert answer.status == 403
                told.append("Too many" in await answer.text())
        assert told == [False] * 5 + [True]


async def test_bodies_are_small(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    async with served(tmp_path) as site:
        await until_there(client, site)
        async with client.post(site.url("/do"), data={"what": "x" * 20_000}, headers=OURS) as answer:
            assert answer.status == 413
        assert site.done == []


async def until_there(client: aiohttp.ClientSession, site: Served, headers: dict[str, str] | None = None) -> None:
    async def there() -> bool:
        try:
            async with client.get(site.url("/"), headers=headers):
                return True
        except aiohttp.ClientError:
            return False

    await until(there, "the service to answer")
