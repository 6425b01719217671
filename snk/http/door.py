"""What a request must present to be answered: a token, or the cookie that somebody got for one."""

import hmac
import ipaddress
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Literal

from itsdangerous import BadSignature, TimestampSigner

Role = Literal["operator", "viewer"]
"""An operator may do everything, a viewer may only look."""
SIGNED_IN_SECONDS = 12 * 3600


def _signer() -> TimestampSigner:
    """Signs cookies with a key of this process: a restart signs everybody out."""
    return TimestampSigner(secrets.token_bytes(32))


@dataclass(frozen=True, slots=True)
class Door:
    """What a request must present.

    Attributes:
        token: of operators, expected as ``Authorization: Bearer ...``; None if only this machine can connect.
        host: the host name of the service in the settings.
        view_token: of those who may only look; None if there is no such token.
    """

    token: str | None = field(default=None, repr=False)
    host: str = "127.0.0.1"
    view_token: str | None = field(default=None, repr=False)
    _signer: TimestampSigner = field(default_factory=_signer, repr=False, compare=False)

    def role(self, authorizations: list[bytes], cookies: Iterable[str] = ()) -> Role | None:
        """What the sender of a request may do; None if it must not see anything.

        Args:
            authorizations: the values of these headers.
            cookies: the values of cookies that `signed_in` may have made.
        """
        if self.token is None:
            return "operator"
        if authorizations:
            scheme, _, given = authorizations[0].partition(b" ")
            known = len(authorizations) == 1 and scheme.lower() == b"bearer"
            return self._role_of(given.strip()) if known else None
        return next(filter(None, map(self._read, cookies)), None)

    def admits(self, hosts: list[bytes]) -> bool:
        """Whether a request without a token was meant for this machine."""
        if self.token is not None:
            return True
        names = [_without_port(host.decode("latin-1")) for host in hosts]
        return all(name == self.host.lower() or is_loopback(name) for name in names)

    @property
    def guarded(self) -> bool:
        """Whether people have to sign in."""
        return self.token is not None

    @property
    def users(self) -> bool:
        """Whether people may have names and passwords: here they have tokens only."""
        return False

    async def signed_in(self, given: Mapping[str, str]) -> str | None:
        """The value of a cookie for somebody who presents a token in the sign-in's form; None if it is wrong."""
        role = self._role_of(given.get("token", "").strip().encode())
        return self._signer.sign(role).decode() if role else None

    def _role_of(self, given: bytes) -> Role | None:
        role: Role | None = None
        for token, allows in ((self.view_token, "viewer"), (self.token, "operator")):
            if token is not None and hmac.compare_digest(given, token.encode()):
                role = "operator" if allows == "operator" else "viewer"
        return role

    def _read(self, cookie: str) -> Role | None:
        try:
            role = self._signer.unsign(cookie, max_age=SIGNED_IN_SECONDS).decode()
        except BadSignature:
            return None
        return "operator" if role == "operator" else "viewer"


def cookie_name(port: int) -> str:
    """The name of the cookie of a service: browsers share cookies among all ports of a host."""
    return f"snk-{port}"


def cookies_of(headers: Iterable[bytes], name: str) -> list[str]:
    """The values of a cookie in the headers of a request."""
    found: list[str] = []
    for header in headers:
        try:
            cookie = SimpleCookie(header.decode("latin-1")).get(name)
        except CookieError:
            continue
        if cookie is not None:
            found.append(cookie.value)
    return found


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
