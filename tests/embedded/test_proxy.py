"""The network of a drill: it carries, it is cut, it falls silent, and it goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from snk.embedded.process import free_port
from snk.embedded.proxy import Proxy
from tests.kit.databases import until

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy before a server that says everything back."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with Proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as made:
        yield made
    server.close()


@asynccontextmanager
async def client(proxy: Proxy) -> AsyncIterator[Ends]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def carried(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait until the connection goes through to the server."""
    writer.write(b"x")
    await reader.readexactly(1)


async def until_held(proxy: Proxy) -> None:
    async def held() -> bool:
        return proxy.held_bytes > 0

    await until(held, "bytes that are held")


async def test_carries_both_ways_and_ends_when_both_have_ended(proxy: Proxy) -> None:
    sent = bytes(range(256)) * 4000
    async with client(proxy) as (reader, writer):
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent
        writer.write_eof()
        assert await reader.read() == b""


async def test_cut_resets_every_connection_and_turns_new_ones_away_until_released(proxy: Proxy) -> None:
    async with client(proxy) as (reader, writer):
        await carried(reader, writer)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read()
    assert proxy.cut_connections == 1
    async with client(proxy) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()
    assert proxy.cut_connections == 2
    proxy.release()
    async with client(proxy) as (reader, writer):
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"


async def test_hold_keeps_connections_open_and_carries_nothing_until_released(proxy: Proxy) -> None:
    async with client(proxy) as (reader, writer):
        await carried(reader, writer)
        proxy.hold()
        writer.write(b"held")
        await until_held(proxy)
        reading = asyncio.create_task(reader.readexactly(4))
        async with client(proxy) as (late, new):
            new.write(b"new")
            assert not (await asyncio.wait((reading,), timeout=0.2))[0]
            proxy.release()
            assert await reading == b"held"
            assert await late.readexactly(3) == b"new"


async def test_held_connections_can_be_cut(proxy: Proxy) -> None:
    async with client(proxy) as (reader, writer):
        await carried(reader, writer)
        proxy.hold()
        writer.write(b"held")
        await until_held(proxy)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_a_server_that_is_away_is_a_reset() -> None:
    async with Proxy("127.0.0.1", free_port()) as proxy, client(proxy) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()
