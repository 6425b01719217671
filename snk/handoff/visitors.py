"""Who may use the status service, and as what.

Whoever has an allowed address may look; whoever has signed in, with the user and the password of /sync_status, may also
change something. A browser on an allowed machine carries its address to every page that it shows, also to one of a
stranger. So an address alone proves nothing about who asks, and two more things are needed:

- A stranger's page may have a name of its own lead here (DNS rebinding); to the browser, what it asks for then comes
  from that page's own site. Such a request has that name as its host. So the pages answer only to an address, to
  localhost and to the name in the settings: no stranger can make these lead from his site to here.
- A stranger's page may send a form here. So what changes something must come from a page of this service, which the
  guard sees to, and from somebody who has signed in. The user and the password of a header (HTTP Basic) do not count:
  a browser that has them from /sync_status sends them along with whatever a stranger's page asks for. As a bearer token
  they do, because no browser sends one by itself: that is how `snk portal` presents them. The default password, which
  everybody knows, opens nothing where other machines can come: another one has to be set first.
"""

import hmac
import ipaddress
from base64 import b64decode
from binascii import Error
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from snk.handoff.allow import Allowed
from snk.http.door import Blank, Passes, Role, Way, host_name, is_loopback

DEFAULT_PASSWORD = "sync"  # noqa: S105 - hustdb's, which everybody knows


@dataclass(frozen=True, slots=True)
class Visitors:
    """Who may use the service.

    Attributes:
        allowed: the addresses.
        user: of /sync_status.
        password: of /sync_status.
        host: the host name of the service in the settings.
    """

    allowed: Allowed
    user: str
    password: str = field(repr=False)
    host: str = "127.0.0.1"
    _passes: Passes = field(default_factory=Passes, repr=False, compare=False)

    @property
    def blanks(self) -> Sequence[Blank]:
        """The user and the password."""
        return (
            Blank("user", "User", "text", "username"),
            Blank("password", "Password", "password", "current-password"),
        )

    @property
    def wrong(self) -> str:
        """What is said about wrong ones."""
        if self._known_to_all:
            return "Everybody knows the default password. Set handoff.password first."
        return "The user or the password is wrong."

    @property
    def names(self) -> str:
        """By which names the pages answer."""
        return "these pages answer to an address such as 127.0.0.1, and to handoff.host, but to no other name"

    def knows(self, authorization: str | None) -> bool:
        """Whether a request carries the user and the password."""
        scheme, _, given = (authorization or "").partition(" ")
        try:
            told = b64decode(given.strip(), validate=True)
        except (Error, ValueError):
            return False
        return scheme.lower() == "basic" and self._fits(told)

    def role(self, authorizations: list[bytes], cookies: Iterable[str] = ()) -> Role:
        """Operators have signed in, or carry ``user:password`` as a token; all others may look."""
        if len(authorizations) == 1:
            scheme, _, given = authorizations[0].partition(b" ")
            if scheme.lower() == b"bearer" and self._opens(given.strip()):
                return "operator"
        return self._passes.role(cookies) or "viewer"

    def admits(self, hosts: list[bytes]) -> bool:
        """Whether a request was meant for this service."""
        return all(name in ("localhost", self.host.lower()) or _is_address(name) for name in map(host_name, hosts))

    async def signed_in(self, given: Mapping[str, str]) -> str | None:
        """The value of a cookie for somebody who gives the user and the password; None if one is wrong."""
        opens = self._opens(f"{given.get('user', '')}:{given.get('password', '')}".encode())
        return self._passes.issued("operator") if opens else None

    def way(self, role: Role | None) -> Way:
        """Whoever may only look may sign in."""
        return "out" if role == "operator" else "in"

    @property
    def _known_to_all(self) -> bool:
        """Whether other machines can come here with the password that everybody knows, or with none."""
        return self.password in ("", DEFAULT_PASSWORD) and not is_loopback(self.host)

    def _opens(self, told: bytes) -> bool:
        return self._fits(told) and not self._known_to_all

    def _fits(self, told: bytes) -> bool:
        return hmac.compare_digest(told, f"{self.user}:{self.password}".encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
