"""The daemon over HTTP, from the outside: who is told what, and what one client can hold."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import pytest

from snk.errors import SettingsError
from snk.http import guard
from snk.http.door import Door, is_loopback
from snk.http.pages import application
from snk.http.service import Address, listening, serve
from snk.pair.core.report import DaemonStatus, DedupStatus
from snk.pair.status.pages import pages
from tests.kit.databases import DEADLINE_SECONDS, until

TOKEN = "a-token-for-tests"
TROUBLE = "public.records first→second is waiting: first (db1.example:5432/app)"
Serving = Callable[..., AbstractAsyncContextManager[int]]


def status() -> DaemonStatus:
    return DaemonStatus(
        version="0",
        name="host:1",
        uptime_seconds=1.0,
        first="first (a)",
        second="second (b)",
        flows=(),
        sweeps=(),
        canaries=(),
        lockers=(),
        dedup=DedupStatus(0, redis=True, error=""),
        troubles=(TROUBLE,),
    )


@pytest.fixture
def serving() -> Serving:
    """A service as long as the block lasts; its port."""

    @asynccontextmanager
    async def run(token: str | None = None) -> AsyncIterator[int]:
        stop = asyncio.Event()
        with listening(Address("127.0.0.1", 0), guarded=token is not None) as bound:
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    serve(application(lambda: status().troubles, status, pages()), bound, stop, Door(token))
                )
                try:
                    yield bound.getsockname()[1]
                finally:
                    stop.set()

    return run


async def opened(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection, as soon as the port listens: it is bound before."""
    made: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def taken() -> bool:
        with suppress(ConnectionRefusedError):
            made.append(await asyncio.open_connection("127.0.0.1", port))
        return bool(made)

    await until(taken, "the port to listen")
    return made[0]


async def talk(port: int, request: str) -> str:
    """Send a request, and return all that comes until the other side hangs up."""
    reader, writer = await opened(port)
    writer.write(request.encode("latin-1"))
    try:
        return (await asyncio.wait_for(reader.read(), DEADLINE_SECONDS)).decode()
    finally:
        writer.close()


def get(path: str, *headers: str, host: str = "127.0.0.1", method: str = "GET") -> str:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""])


async def test_with_a_token_all_but_the_verdict_is_for_those_who_know_it(serving: Serving) -> None:
    async with serving(TOKEN) as port:
        for path in ("/status", "/metrics", "/nothing"):
            for wrong in (
                (),
                ("Authorization: Bearer wrong",),
                (f"Authorization: Basic {TOKEN}",),
                (f"Authorization: Bearer {TOKEN}x",),
                ("Authorization: Bearer wrong", f"Authorization: Bearer {TOKEN}"),
                ("Authorization: Bearer \xe9",),
            ):
                answer = await talk(port, get(path, *wrong))
                assert answer.startswith("HTTP/1.1 401"), (path, wrong)
                assert "www-authenticate: Bearer" in answer
        right = f"Authorization: Bearer {TOKEN}"
        assert "db1.example" in await talk(port, get("/status", right))
        assert "snk_healthy 0.0" in await talk(port, get("/metrics", right))
        assert (await talk(port, get("/health", "Authorization: Bearer wrong"))).startswith("HTTP/1.1 401")
        wrong = ("Authorization: Bearer wrong", "Accept: text/html")  # as a proxy may add
        assert not (await talk(port, get("/sign-in", *wrong))).startswith("HTTP/1.1 303")
        closed, opened = await talk(port, get("/health")), await talk(port, get("/health", right))
    assert closed.startswith("HTTP/1.1 503")
    assert closed.endswith('{"status":"not healthy"}')
    assert "db1.example" in opened


async def test_answers_tell_nothing_of_what_answers(serving: Serving) -> None:
    async with serving() as port:
        answer = (await talk(port, get("/status"))).lower()
    assert "\r\nserver:" not in answer
    assert "uvicorn" not in answer
    assert "cache-control: no-store" in answer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8089", "[::1]:8089", "127.9.9.9"])
async def test_without_a_token_this_machine_may_ask(serving: Serving, host: str) -> None:
    async with serving() as port:
        assert (await talk(port, get("/status", host=host))).startswith("HTTP/1.1 200")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:8089"])
async def test_without_a_token_no_other_name_is_answered(serving: Serving, host: str) -> None:
    async with serving() as port:
        for path in ("/status", "/health"):
            assert (await talk(port, get(path, host=host))).startswith("HTTP/1.1 403")


async def test_only_small_questions_are_answered(serving: Serving) -> None:
    async with serving() as port:
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
            ours = get("/status", "Sec-Fetch-Site: same-origin", method=method)
            assert (await talk(port, ours)).startswith("HTTP/1.1 405"), method
        assert (await talk(port, get("/status", "Content-Length: 5"))).startswith("HTTP/1.1 413")
        assert (await talk(port, get("/status", "Transfer-Encoding: chunked"))).startswith("HTTP/1.1 413")
        assert (await talk(port, get("/status", "X: " + "x" * 20_000))).startswith("HTTP/1.1 431")
        assert (await talk(port, get("/" + "x" * 20_000))).startswith("HTTP/1.1 431")
        with suppress(ConnectionError):  # it may hang up while we still send
            assert (await talk(port, "GET /" + "x" * 2_000_000)).startswith("HTTP/1.1 400"), "refused before its end"
        assert (await talk(port, get("/health/"))).startswith("HTTP/1.1 404")


async def test_a_connection_ends_however_slow_its_client(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "CONNECTION_SECONDS", 0.2)
    async with serving() as port:
        for begun in ("", "GET /status HT", "GET /status HTTP/1.1\r\nHost: localhost\r\n"):
            with pytest.raises((ConnectionError, AssertionError)):
                assert await talk(port, begun), "it ended without an answer"


async def test_more_connections_than_wanted_are_hung_up(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_CONNECTIONS", 3)
    async with serving() as port:
        await talk(port, get("/health"))
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        with pytest.raises((ConnectionError, AssertionError)):
            assert await talk(port, get("/health")), "nobody answers a fourth"
        for _, writer in held:
            writer.close()
            await writer.wait_closed()


def test_a_token_is_asked_for_wherever_others_can_reach() -> None:
    for host in ("0.0.0.0", "::"):
        if host == "::" and not socket.has_ipv6:
            continue
        with pytest.raises(SettingsError, match=r"here\.host is '.*Set here\.token, .* or here\.host to 127"):
            listening(Address(host, 0, "here.host", "here.port", "here.token"), guarded=False)
    listening(Address("0.0.0.0", 0), guarded=True).close()
    listening(Address("localhost", 0), guarded=False).close()


def test_what_is_a_loopback() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "LOCALHOST."]))
    assert not any(map(is_loopback, ["", "0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "127.0.0.1.nip.io"]))
