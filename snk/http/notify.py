"""What the daemon reports to systemd: that it is ready, that it is stopping, its status, and that it is alive.

The protocol is one datagram of ``NAME=value`` lines to the unix socket named by ``NOTIFY_SOCKET``; a leading ``@``
stands for the NUL byte of Linux's abstract namespace. Source: sd_notify(3) and sd_watchdog_enabled(3).

Outside systemd the variable is not set and nothing is sent. A message that cannot be sent is dropped: systemd itself
notices a missing READY or watchdog message, and a busy supervisor must not stop the sync.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import structlog

from snk.pause import pause

# A message that waits for room in systemd's queue blocks the event loop, so the wait must be short.
SEND_SECONDS = 0.2
# Interval between notifications to systemd if it has set no watchdog.
NOTIFY_SECONDS = 10.0
FIRST_LOOK_SECONDS = 0.05

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Notifier:
    """The destination of notifications.

    Attributes:
        address: of the socket, as the operating system knows it; None if there is no listener.
        watchdog_seconds: systemd ends the service if it gets no watchdog() for this long; None if there is no watchdog.
            Call it at least twice as often.
    """

    address: str | None = None
    watchdog_seconds: float | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The notifier that systemd requests for this process; if it requests none, one that does nothing."""
        given = environment.get("NOTIFY_SOCKET", "")
        if not given.startswith(("/", "@")):  # unset, or a socket type that only virtual machines have
            return cls()
        address = f"\0{given[1:]}" if given.startswith("@") else given
        return cls(address, _watchdog_seconds(environment))

    def ready(self) -> None:
        """The service is up; units that waited for it may start now."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The service has begun to stop."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; line breaks become spaces."""
        self._send("STATUS=" + " ".join(text.splitlines()))

    def watchdog(self) -> None:
        """A sign of life. Send it only on real progress: if a timer sent it, a daemon that hangs would look alive."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self.address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(SEND_SECONDS)
                channel.connect(self.address)  # only a connected socket can wait for room in the queue
                channel.sendall(message.encode())
        except OSError as error:  # the socket may be gone; rows keep flowing
            log.debug("notification_not_sent", message=message, error=str(error))


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Child processes inherit these variables, which do not apply to them: the pid names the process they are for."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environment.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None


@dataclass(frozen=True, slots=True)
class Health:
    """What the service manager is told at one moment.

    Attributes:
        summary: one line for ``systemctl status``.
        progressing: whether there is progress, or none is due; if not, the watchdog is not notified.
    """

    summary: str
    progressing: bool


async def keep_informed(stop: asyncio.Event, ready: Callable[[], bool], health: Callable[[], Health]) -> None:
    """Tell the service manager when the daemon is ready, its status, that it is alive, and when it stops."""
    notifier = Notifier.from_environment()
    if notifier.address is None:
        await stop.wait()
        return
    while not (stop.is_set() or ready()):
        await pause(stop, FIRST_LOOK_SECONDS)
    notifier.ready()
    while not stop.is_set():
        now = health()
        notifier.status(now.summary)
        if now.progressing:
            notifier.watchdog()
        await pause(stop, min(NOTIFY_SECONDS, (notifier.watchdog_seconds or NOTIFY_SECONDS) / 3))
    notifier.stopping()
