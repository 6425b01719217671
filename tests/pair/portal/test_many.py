"""However many look, a daemon draws each page once, opens no connection more, and syncs as before."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from snk.http.portal import live
from snk.http.portal.drawn import Drawing
from snk.pair.core.budget import LEAST_CONNECTIONS
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.limits import Limits
from snk.pair.sync.pair import Pair
from tests.kit.databases import Database, insert, until, until_equal
from tests.pair.conftest import OFTEN, Limited, Running, kept_running
from tests.pair.portal.conftest import served

UUID = "00000000-0000-4000-8000-000000000001"
TABS = 100


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each part of a page was drawn, from now on."""
    counts: Counter[str] = Counter()
    plain = Drawing.part

    def part(drawing: Drawing, name: str, values: Mapping[str, Any]) -> str:
        counts[name] += 1
        return plain(drawing, name, values)

    monkeypatch.setattr(Drawing, "part", part)
    return counts


async def asked(url: str, path: str, form: Mapping[str, str] | None = None) -> tuple[asyncio.StreamReader, Any]:
    """The answer to a request, as it comes, and what closes it."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    body = urlencode(form).encode() if form is not None else b""
    head = [f"{'GET' if form is None else 'POST'} {path} HTTP/1.1", f"Host: {parts.netloc}"]
    head += [] if form is None else [f"Origin: {url}", f"Content-Length: {len(body)}"]
    writer.write("\r\n".join([*head, "", ""]).encode() + body)
    return reader, writer


async def answer(url: str, path: str, form: Mapping[str, str] | None = None) -> str:
    """A whole answer, with its head."""
    reader, writer = await asked(url, path, form)
    text = (await reader.read()).decode()
    writer.close()
    return text


async def test_of_all_who_look_at_a_page_one_draws_it_and_rows_flow(
    running: Running, first: Database, second: Database, drawn: Counter[str]
) -> None:
    async with AsyncExitStack() as tabs, running() as daemon, served(daemon) as url:
        opened = [await asked(url, "/live/") for _ in range(TABS)]
        for _, writer in opened:
            tabs.callback(writer.close)
        await asyncio.gather(*(reader.readuntil(b'"name":"events"') for reader, _ in opened))
        await insert(first, 1000)
        await until_equal(first, second, 1000)
        assert 0 < drawn["flows"] < TABS / 2, "each tab drew for itself"


async def test_nothing_is_drawn_while_nobody_looks(
    running: Running, first: Database, second: Database, drawn: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "EVERY_SECONDS", 0.01)
    async with running() as daemon, served(daemon) as url:
        await insert(first, 1)
        await until_equal(first, second, 1)
        assert not drawn
        reader, writer = await asked(url, "/live/conflicts")
        await reader.readuntil(b'"name":"conflicts"')
        writer.close()

        async def at_rest() -> bool:
            before = drawn.total()
            await insert(first, 1)
            await until_equal(first, second)
            return drawn.total() == before

        await until(at_rest, "the drawing to end")


async def test_pages_and_changes_open_no_connection_more(limited: Limited, first: Database, second: Database) -> None:
    """The servers refuse any connection more, so one too many would be an error of a page, a flow or a sweep."""
    for url, word in ((limited.urls.first, "one"), (limited.urls.second, "two")):
        await Database(url).run(
            "create table records (id bigserial primary key, uuid uuid not null unique, data text)",
            f"insert into records (uuid, data) values ('{UUID}', '{word}')",
        )
    stop = asyncio.Event()
    pair = Pair(*limited.servers, ("records",))
    daemon = Daemon(pair, Limits(connections=LEAST_CONNECTIONS), limited.urls.redis, sweeps=OFTEN)
    await daemon.wait_until_fit(stop, init=True)
    async with kept_running(daemon, stop), served(daemon) as url:

        async def recorded() -> bool:
            return UUID in await answer(url, "/conflicts")

        await until(recorded, "the conflict")
        await insert(first, 300)
        resolve = f"/conflicts/resolve?table=records&uuid={UUID}&keep=first"
        pages = ("/conflicts", f"/conflicts/row?uuid={UUID}", "/rejected", resolve)
        answers = await asyncio.gather(*(answer(url, page) for page in pages * 5))
        assert all(each.startswith("HTTP/1.1 200") for each in answers)
        seal = answers[-1].partition('name="shown" value="')[2].partition('"')[0]
        form = {"table": "public.records", "uuid": UUID, "keep": "first", "shown": seal}
        changes = await asyncio.gather(*(answer(url, "/conflicts/resolve", form) for _ in range(3)))
        assert all(each.startswith("HTTP/1.1 303") for each in changes)
        assert await second.value(f"select data from records where uuid = '{UUID}'") == "one"
        assert await second.value("select count(*) from snk.journal") == 1, "once, however often it was asked for"
        await until_equal(first, second, 301)
        assert [flow.error for flow in daemon.status().flows] == ["", ""]
        assert daemon.status().sweeps[0].error == ""
