"""What the daemon tells systemd: that it is ready, that it is stopping, how it goes, and that it is alive.

The protocol is one datagram of ``NAME=value`` lines to the unix socket named by ``NOTIFY_SOCKET``; a leading ``@``
stands for the NUL byte of Linux' abstract namespace. Source: sd_notify(3) and sd_watchdog_enabled(3).

Outside systemd the variable is missing and nothing is sent. A message that cannot be sent is dropped: systemd notices
by itself when READY or the watchdog's sign of life does not come, and no sync should end because its supervisor is
busy.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import structlog

# The event loop stands still while a message waits for room in systemd's queue, so it must not wait long.
SEND_SECONDS = 0.2

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Notifier:
    """Where notifications go.

    Attributes:
        address: of the socket, as the operating system knows it; None when nobody listens.
        watchdog_seconds: systemd ends the service when no watchdog() came for so long; None when it does not watch.
            Call it at least twice as often.
    """

    address: str | None = None
    watchdog_seconds: float | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The notifier that systemd asks for in this process; one that does nothing where it asks for none."""
        given = environment.get("NOTIFY_SOCKET", "")
        if not given.startswith(("/", "@")):  # unset, or a kind of socket that only virtual machines have
            return cls()
        address = f"\0{given[1:]}" if given.startswith("@") else given
        return cls(address, _watchdog_seconds(environment))

    def ready(self) -> None:
        """The service is up: what waited for it may start now."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The service has begun to stop."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; line breaks become spaces."""
        self._send("STATUS=" + " ".join(text.splitlines()))

    def watchdog(self) -> None:
        """A sign of life. To be sent for real progress only: from a timer it would vouch for a daemon that hangs."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self.address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(SEND_SECONDS)
                channel.connect(self.address)  # only a connected socket can wait for room in the queue
                channel.sendall(message.encode())
        except OSError as error:  # it may be gone; rows flow all the same
            log.debug("notification_not_sent", message=message, error=str(error))


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """The variables are inherited by children, whom they do not concern: the pid says whose they are."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environment.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None
