"""What commands that run a service have in common: they listen, and work until they are told to stop."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import uvloop

from snk.http.service import Address, listening
from snk.signals import when_told_to_stop

Work = Callable[[socket.socket, asyncio.Event], Awaitable[None]]


def run_service(address: Address, work: Work, *, guarded: bool) -> None:
    """Bind an address, and work on it until a signal says to stop.

    Args:
        address: where to listen.
        work: takes the bound socket, and an event that is set at the signal; called in the running loop.
        guarded: whether clients must say who they are.

    Raises:
        ServiceUnfit: the address cannot be bound.
        SettingsError: other machines could connect there, and clients need not say who they are.
    """

    async def until_told(bound: socket.socket) -> None:
        stop = asyncio.Event()
        when_told_to_stop(stop.set)
        await work(bound, stop)

    with listening(address, guarded=guarded) as bound:
        uvloop.run(until_told(bound))
