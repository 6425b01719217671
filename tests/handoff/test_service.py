"""The status service: hustdb's forms to the letter, and who may see them."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import aiohttp
import pytest

from snk.handoff.allow import allowed
from snk.handoff.service import application
from snk.handoff.status import Limits, Watcher
from snk.handoff.visitors import Visitors
from snk.http.service import Address, listening, serve_open
from tests.kit.handoff import World, backend_of, lines, until
from tests.kit.scripted import Backend

AUTH = "Basic " + b64encode(b"sync:sync").decode()
Ask = Callable[..., Awaitable[tuple[int, str, Mapping[str, str]]]]
NONE = '{\n    "total_status": {\n        "processed_items": 0,\n        "synced_items": 0\n    },\n    "status": {}\n}'


@pytest.fixture
async def ask(world: World, backend: Backend) -> AsyncIterator[Ask]:
    """Ask a service whose server has sent five lines."""
    world.write(backend.name, lines(range(5)))
    stop = asyncio.Event()
    async with world.running() as server:
        await until(lambda: backend_of(server, backend.name).counts.synced == 5, "the lines")
        watcher = Watcher(server, Limits(1, 1))
        visitors = Visitors(allowed("127.0.0.1"), "sync", "sync")
        with listening(Address("127.0.0.1", 0), guarded=True) as bound:
            base = f"http://127.0.0.1:{bound.getsockname()[1]}"
            task = asyncio.create_task(serve_open(application(watcher.status, visitors), bound, stop))

            async def asked(path: str, method: str = "GET", auth: str | None = AUTH) -> object:
                headers = {"Authorization": auth} if auth else {}
                async with aiohttp.request(method, base + path, headers=headers) as answer:
                    return answer.status, await answer.text(), answer.headers

            yield asked  # type: ignore[misc]
            stop.set()
            await task


async def test_it_is_alive(ask: Ask) -> None:
    status, text, headers = await ask("/status.html", auth=None)
    assert (status, text) == (200, "ok\n")
    assert "text/plain" in headers["content-type"]


async def test_the_status_has_the_frozen_form(ask: Ask, backend: Backend) -> None:
    status, text, _ = await ask("/sync_status?backend_count=3")
    counts = '"processed_items": 5,\n{0}"synced_items": 5\n{1}'
    total = "{\n        " + counts.format(" " * 8, " " * 4) + "}"
    one = '{\n        "' + backend.name + '": {\n            ' + counts.format(" " * 12, " " * 8) + "}\n    }"
    assert (status, text) == (200, '{\n    "total_status": ' + total + ',\n    "status": ' + one + "\n}")


@pytest.mark.parametrize("count", ["0", "x", "", "-1", "1e3"])
async def test_a_count_that_is_no_number_is_none(ask: Ask, count: str) -> None:
    _, text, _ = await ask(f"/sync_status?backend_count={count}")
    assert text == NONE.replace('processed_items": 0', 'processed_items": 5').replace('items": 0', 'items": 5')


async def test_what_is_refused(ask: Ask) -> None:
    status, _, headers = await ask("/sync_status?backend_count=1", auth=None)
    assert (status, "realm=" in headers["www-authenticate"]) == (401, True)
    assert (await ask("/sync_status?backend_count=1", auth="Basic " + b64encode(b"sync:wrong").decode()))[0] == 401
    assert (await ask("/sync_status?backend_count=1", "POST"))[0] == 405
    assert (await ask("/sync_status"))[0] == 404
    assert (await ask("/nothing"))[0] == 404


async def test_everything_else_that_is_known_is_told(ask: Ask, backend: Backend) -> None:
    _, metrics, _ = await ask("/metrics")
    assert f'snk_handoff_synced_total{{backend="{backend.name}"}} 5.0' in metrics
    assert (await ask("/status"))[0] == 200
    assert (await ask("/health"))[0] == 200


@pytest.mark.parametrize(
    ("listed", "host", "admitted"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("10.0.0.1, 10.0.0.5-10.0.0.9", "10.0.0.7", True),
        ("10.0.0.1, 10.0.0.5-10.0.0.9", "10.0.0.10", False),
        ("10.0.0.0/8", "10.9.8.7", True),
        ("::1", "::1", True),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("", "127.0.0.1", False),
        ("0.0.0.0-255.255.255.255", "not an address", False),
    ],
)
def test_addresses_are_single_ones_networks_and_ranges(listed: str, host: str, admitted: bool) -> None:  # noqa: FBT001
    assert allowed(listed).admits(host) == admitted


def test_an_authorization_that_is_none_is_refused() -> None:
    visitors = Visitors(allowed("127.0.0.1"), "sync", "sync")
    for given in (None, "", "Basic", "Basic ???", "Bearer " + b64encode(b"sync:sync").decode(), "Basic c3luYw=="):
        assert not visitors.knows(given)
