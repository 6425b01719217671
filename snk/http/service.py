"""Serve pages over HTTP in the program's event loop, until it stops."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from snk.errors import ServiceUnfit, SettingsError
from snk.http.door import Entrance, is_loopback
from snk.http.guard import MOST_HEAD_BYTES, BriefProtocol, Guard

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen, and the names of the settings that say so.

    Attributes:
        guard_hint: how clients are made to say who they are, if not by a token.
    """

    host: str
    port: int
    host_name: str = "host"
    port_name: str = "port"
    token_name: str = "token"  # noqa: S105 - the name of a setting
    guard_hint: str = ""


def listening(address: Address, *, guarded: bool) -> socket.socket:
    """A socket bound to this address; port 0 selects any free port.

    Args:
        address: its host may be a name or a number.
        guarded: whether clients must send a token.

    Raises:
        ServiceUnfit: the address cannot be bound.
        SettingsError: other machines could connect there, and no token is set.
    """
    host, port = address.host, address.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        hint = f"Set {address.host_name} and {address.port_name} to a free address of this machine"
        raise ServiceUnfit(f"Cannot listen on {host}:{port}: {error.strerror}", hint=hint) from error
    if not guarded and not is_loopback(bound.getsockname()[0]):
        bound.close()
        token = f"Set {address.token_name}, such as to the output of `openssl rand -hex 32`"
        way_in = f"{address.guard_hint}, or set" if address.guard_hint else f"{token}, or"
        hint = f"{way_in} {address.host_name} to 127.0.0.1"
        raise SettingsError(f"{address.host_name} is {host!r}, which other machines can reach", hint=hint)
    return bound


@dataclass(frozen=True, slots=True)
class Manners:
    """How connections of clients are treated.

    Attributes:
        protocol: the protocol, with its limits and deadlines.
        most_head_bytes: of the head of a request.
        idle_seconds: how long a connection is kept between two requests, if the protocol keeps any.
        grace_seconds: how long requests that are under way may take when the service stops.
    """

    protocol: type[H11Protocol] = BriefProtocol
    most_head_bytes: int = MOST_HEAD_BYTES
    idle_seconds: int = 5
    grace_seconds: int = 1


BRIEF = Manners()


async def serve(pages: ASGIApp, bound: socket.socket, stop: asyncio.Event, door: Entrance) -> None:
    """Serve these pages on a bound socket to the clients that the door admits, until ``stop`` is set."""
    await serve_open(Guard(pages, door), bound, stop)


async def serve_open(pages: ASGIApp, bound: socket.socket, stop: asyncio.Event, manners: Manners = BRIEF) -> None:
    """Serve pages that see to it themselves who may come in."""
    config = uvicorn.Config(
        pages,
        http=manners.protocol,
        ws="none",
        log_config=None,
        log_level="error",  # at lower levels, any client could fill the log
        access_log=False,
        server_header=False,
        proxy_headers=False,  # anybody could write them
        h11_max_incomplete_event_size=manners.most_head_bytes,
        timeout_keep_alive=manners.idle_seconds,
        timeout_graceful_shutdown=manners.grace_seconds,
        lifespan="off",
    )
    server = _Server(config)
    host, port = bound.getsockname()[:2]
    log.info("http_listening", host=host, port=port)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(sockets=[bound]))
        stopping = group.create_task(stop.wait())
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        stopping.cancel()


class _Server(uvicorn.Server):
    """Uvicorn without signal handling, which the daemon does itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
