"""Answers are read up to a limit, and those that are longer are known to be."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from yarl import URL

from snk.http.client import Clients, Request
from tests.kit.sites import opened

MOST_BYTES = 100_000


@pytest.fixture
async def url() -> AsyncIterator[URL]:
    """A server that answers with so many bytes, with their number in its head or without."""

    async def answer(request: web.Request) -> web.StreamResponse:
        size = int(request.query["size"])
        if request.query["how"] == "whole":
            return web.Response(body=bytes(size))
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(bytes(size))
        return response

    runner = await opened(0, "GET", "/", answer)
    yield URL(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    await runner.cleanup()


@pytest.mark.parametrize("how", ["whole", "chunked"])
@pytest.mark.parametrize(("size", "cut"), [(0, False), (99_999, False), (3 * MOST_BYTES, True)])
async def test_an_answer_that_is_longer_than_is_read_is_cut(url: URL, how: str, size: int, *, cut: bool) -> None:
    clients = Clients(1, MOST_BYTES)
    try:
        answered = await clients.of(url).send(Request("GET", f"/?size={size}&how={how}"), 30.0)
    finally:
        await clients.close()
    assert (answered.status, answered.cut) == (200, cut)
    assert len(answered.body) >= MOST_BYTES if cut else len(answered.body) == size
