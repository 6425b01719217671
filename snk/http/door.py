"""What a request must present to be answered. Pure."""

import hmac
import ipaddress
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Door:
    """What a request must present.

    Attributes:
        token: expected as ``Authorization: Bearer ...``; None if only this machine can connect.
        host: the host name of the service in the settings.
    """

    token: str | None = field(default=None, repr=False)
    host: str = "127.0.0.1"

    def knows(self, authorizations: list[bytes]) -> bool:
        """Whether a request may see everything."""
        if self.token is None:
            return True
        if len(authorizations) != 1:
            return False
        scheme, _, given = authorizations[0].partition(b" ")
        return hmac.compare_digest(given.strip(), self.token.encode()) and scheme.lower() == b"bearer"

    def admits(self, hosts: list[bytes]) -> bool:
        """Whether a request without a token was meant for this machine."""
        if self.token is not None:
            return True
        names = [_without_port(host.decode("latin-1")) for host in hosts]
        return all(name == self.host.lower() or is_loopback(name) for name in names)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; the only host name accepted as loopback is localhost."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0].lstrip("[").lower()
    return host.partition(":")[0].lower()
