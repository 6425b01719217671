"""A network that can be silenced and cut: it carries bytes between its clients and one server."""

import asyncio
import contextlib
import socket
import struct
from typing import Self

CHUNK_BYTES = 65536
RESET = struct.pack("ii", 1, 0)
HOST = "127.0.0.1"


class Network:
    """The way to one server.

    Args:
        server_port: where the server listens.

    Attributes:
        port: where clients connect instead; known once the context is entered.
    """

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self._server_port = server_port
        self._is_cut = False
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listening:
            self._listening.close()
        self.cut()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def silence(self) -> None:
        """Carry nothing more; connections stay open, and new ones are accepted."""
        self._speaks.clear()

    def cut(self) -> None:
        """Reset every connection, and every new one as soon as it is made."""
        self._is_cut = True
        for task in self._carrying:
            task.cancel()

    def restore(self) -> None:
        """Carry everything again."""
        self._is_cut = False
        self._speaks.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            _reset(writer)
            return
        # A separate task: asyncio logs an error if the one that it made for an accepted connection is cancelled.
        task = asyncio.create_task(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes both ways until one end closes or the network is cut; then close the other end."""
        ends, pumps = [writer], list[asyncio.Task[None]]()
        try:
            await self._speaks.wait()
            far_reader, far_writer = await asyncio.open_connection(HOST, self._server_port)
            ends.append(far_writer)
            pumps += [asyncio.create_task(self._pump(*way)) for way in ((reader, far_writer), (far_reader, writer))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass  # the server does not listen
        finally:
            for pump in pumps:
                pump.cancel()
            for end in ends:
                _reset(end)
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            await self._speaks.wait()
            writer.write(data)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Abort a connection: the peer is told by a reset, as by a router that has forgotten it."""
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):  # it may have closed already
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
