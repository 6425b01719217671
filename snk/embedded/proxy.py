"""A network that can be cut and silenced: a TCP proxy between programs and one server."""

import asyncio
import contextlib
import socket
import struct
from typing import Self

CHUNK_BYTES = 65536
RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Carries bytes between clients and one server, until `cut` or `hold` is called.

    Attributes:
        port: of 127.0.0.1, where clients connect; known once the context is entered.
        cut_connections: how many connections were reset or refused so far.
        held_bytes: how many bytes were held back while the network was silent, so far.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.cut_connections = 0
        self.held_bytes = 0
        self._target = (host, port)
        self._is_cut = False
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection, and every new one as soon as it is made."""
        self._is_cut = True
        self.cut_connections += len(self._carrying)
        for task in self._carrying:
            task.cancel()

    def hold(self) -> None:
        """Go silent: connections stay open, new ones are accepted, and nothing is carried."""
        self._speaks.clear()

    def release(self) -> None:
        """Carry bytes again, starting with what was held."""
        self._is_cut = False
        self._speaks.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            self.cut_connections += 1
            _reset(writer)
            return
        # A separate task: asyncio logs an error if the task that it created for an accepted connection is cancelled.
        task = asyncio.create_task(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes both ways until both ends have closed; however that happens, no connection stays open."""
        ends = [writer]
        try:
            await self._speaks.wait()
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            ends.append(far_writer)
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        except (OSError, RuntimeError):  # one end is gone (uvloop may raise RuntimeError) or never existed
            pass
        finally:
            for end in ends:
                _reset(end)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if not self._speaks.is_set():
                self.held_bytes += len(data)
            await self._speaks.wait()
            writer.write(data)
            await writer.drain()
        await self._speaks.wait()
        writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Abort a connection: the peer receives RST, as from a firewall that has lost its state."""
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):  # it may have closed already
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
