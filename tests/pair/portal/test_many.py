"""However many look, a daemon draws each page once, opens no connection more, and syncs as before."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from snk.http.portal import live
from snk.http.portal.drawn import Drawing
from snk.pair.core.budget import LEAST_CONNECTIONS
from snk.pair.portal import reach
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.limits import Limits
from snk.pair.sync.pair import Pair
from tests.kit.databases import Database, insert, until, until_equal
from tests.pair.conftest import OFTEN, Limited, Running, kept_running
from tests.pair.portal.conftest import served

UUID = "00000000-0000-4000-8000-000000000001"
TABS = 100
RESOLVE = f"/conflicts/resolve?table=records&uuid={UUID}&keep=first"


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


async def until_listed(url: str) -> None:
    """Wait until the conflict is on its page."""

    async def listed() -> bool:
        return UUID in await answer(url, "/conflicts")

    await until(listed, "the conflict")


def filled(page: str) -> dict[str, str]:
    """The form of a page that asks whether to keep the row of first."""
    seal = page.partition('name="shown" value="')[2].partition('"')[0]
    return {"table": "public.records", "uuid": UUID, "keep": "first", "shown": seal}


@asynccontextmanager
async def in_conflict(limited: Limited) -> AsyncIterator[Daemon]:
    """A daemon that may open the least number of connections, of a pair with one conflict."""
    for url, word in ((limited.urls.first, "one"), (limited.urls.second, "two")):
        await Database(url).run(
            "create table records (id bigserial primary key, uuid uuid not null unique, data text)",
            f"insert into records (uuid, data) values ('{UUID}', '{word}')",
        )
    stop = asyncio.Event()
    pair = Pair(*limited.servers, ("records",))
    daemon = Daemon(pair, Limits(connections=LEAST_CONNECTIONS), limited.urls.redis, sweeps=OFTEN)
    await daemon.wait_until_fit(stop, init=True)
    async with kept_running(daemon, stop):
        yield daemon


async def test_pages_and_changes_open_no_connection_more(limited: Limited, first: Database, second: Database) -> None:
    """The servers refuse any connection more, so one too many would be an error of a page, a flow or a sweep."""
    async with in_conflict(limited) as daemon, served(daemon) as url:
        await until_listed(url)
        await insert(first, 300)
        pages = ("/conflicts", f"/conflicts/row?uuid={UUID}", "/rejected", RESOLVE)
        answers = await asyncio.gather(*(answer(url, page) for page in pages * 5))
        assert all(each.startswith("HTTP/1.1 200") for each in answers)
        form = filled(answers[-1])
        changes = await asyncio.gather(*(answer(url, "/conflicts/resolve", form) for _ in range(3)))
        assert all(each.startswith("HTTP/1.1 303") for each in changes)
        assert await second.value(f"select data from records where uuid = '{UUID}'") == "one"
        assert await second.value("select count(*) from snk.journal") == 1, "once, however often it was asked for"
        await until_equal(first, second, 301)
        assert [flow.error for flow in daemon.status().flows] == ["", ""]
        assert daemon.status().sweeps[0].error == ""


async def test_a_change_that_waits_for_a_lock_is_given_up_and_rows_flow_again(
    limited: Limited, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the one connection that all flows share."""
    monkeypatch.setattr(reach, "MOST_SECONDS", 1.0)
    async with in_conflict(limited) as daemon, served(daemon) as url:
        await until_listed(url)
        form = filled(await answer(url, RESOLVE))
        async with second.connect() as locking:
            await locking.exec_driver_sql("select from records for update")
            done = await answer(url, "/conflicts/resolve", form)
            told = await answer(url, done.partition("location: ")[2].partition("\r\n")[0])
            assert "It took longer than 1 s" in told
            await insert(first, 5)
            await until_equal_but_for_one(first, second)
        assert await second.value(f"select data from records where uuid = '{UUID}'") == "two"


async def until_equal_but_for_one(first: Database, second: Database) -> None:
    async def equal() -> bool:
        return (await first.contents() - await second.contents()).total() == 1

    await until(equal, "all rows but the one in conflict")
