"""Certificates made for one test, and TLS before servers that come without it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import trustme

SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)


class Certificates:
    """What a server may show, by what is wrong with it, and the file of the one authority that is trusted."""

    def __init__(self, folder: Path) -> None:
        ours, stranger = trustme.CA(), trustme.CA()
        self.trusted = folder / "authority.pem"
        ours.cert_pem.write_to_path(str(self.trusted))
        yesterday = datetime.now(UTC) - timedelta(days=1)
        self.shown = {
            "good": ours.issue_cert("localhost", "127.0.0.1"),
            "of another host": ours.issue_cert("elsewhere.example"),
            "expired": ours.issue_cert(
                "localhost", "127.0.0.1", not_before=yesterday - timedelta(days=1), not_after=yesterday
            ),
            "of an unknown authority": stranger.issue_cert("localhost", "127.0.0.1"),
        }

    def context(self, which: str) -> ssl.SSLContext:
        """A server's side of TLS."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.shown[which].configure_cert(context)
        return context


@asynccontextmanager
async def behind_tls(dsn: str, context: ssl.SSLContext | None) -> AsyncIterator[str]:
    """The same server behind TLS, as long as the block lasts: its host and port.

    A PostgreSQL server is asked for TLS by its clients, and answers N where there is no context; a Redis speaks it from
    the first byte.
    """
    server = urlsplit(dsn)
    asked = server.scheme.startswith("postgres")
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        talks.add(task)
        try:
            start = b""
            if asked:
                start = await reader.readexactly(8)
                if start == SSL_REQUEST:
                    start = b""
                    writer.write(b"S" if context else b"N")
                    await writer.drain()
                    if context:
                        await writer.start_tls(context)
            inside, outside = await asyncio.open_connection(server.hostname, server.port)
            outside.write(start)
            try:
                await asyncio.wait(
                    [asyncio.create_task(pump(reader, outside)), asyncio.create_task(pump(inside, writer))],
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                outside.close()
        except (OSError, EOFError):
            return  # a client that hangs up, or refuses the certificate
        finally:
            writer.close()
            talks.discard(task)

    proxy = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=None if asked else context)
    try:
        yield f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    finally:
        proxy.close()
        for task in list(talks):
            task.cancel()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until it ends."""
    try:
        while some := await reader.read(65536):
            writer.write(some)
            await writer.drain()
    except (OSError, EOFError):
        return
