"""Who may come in, and as what: whoever presents a token, or the cookie that somebody got for one."""

import hmac
import ipaddress
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from itsdangerous import BadSignature, TimestampSigner

Role = Literal["operator", "viewer"]
"""An operator may do everything, a viewer may only look."""
Way = Literal["", "in", "out"]
"""What a page offers to its reader: to sign in, to sign out, or neither."""
SIGNED_IN_SECONDS = 12 * 3600


@dataclass(frozen=True, slots=True)
class Blank:
    """What the sign-in page asks for.

    Attributes:
        name: of the field.
        label: what a person reads.
        kind: of the input: ``text`` or ``password``.
        filled_by: what a browser may fill in.
        required: whether it may not be empty.
    """

    name: str
    label: str
    kind: str
    filled_by: str
    required: bool = True


class SignIn(Protocol):
    """How somebody becomes known to pages."""

    @property
    def blanks(self) -> Sequence[Blank]:
        """What the sign-in page asks for."""

    @property
    def wrong(self) -> str:
        """What the sign-in page says if that is wrong."""

    async def signed_in(self, given: Mapping[str, str]) -> str | None:
        """The value of a cookie for somebody who has filled in the sign-in page; None if it is wrong.

        Raises:
            SnkError: they are known, and may not come in all the same.
        """

    def way(self, role: Role | None) -> Way:
        """What pages offer to somebody."""


class Entrance(SignIn, Protocol):
    """Who may come in, and as what."""

    @property
    def names(self) -> str:
        """By which names a service answers, told to those who use another one."""

    def role(self, authorizations: list[bytes], cookies: Iterable[str] = ()) -> Role | None:
        """What the sender of a request may do; None if it must not see anything."""

    def admits(self, hosts: list[bytes]) -> bool:
        """Whether a request was meant for this service, as far as its headers ``Host`` tell."""


class Passes:
    """The cookies of those who have signed in, signed with a key of this process: a restart signs everybody out."""

    def __init__(self) -> None:
        self._signer = TimestampSigner(secrets.token_bytes(32))

    def issued(self, role: Role) -> str:
        """The value of a new cookie."""
        return self._signer.sign(role).decode()

    def role(self, cookies: Iterable[str]) -> Role | None:
        """What the first cookie that was made here, and not too long ago, allows."""
        return next(filter(None, map(self._read, cookies)), None)

    def _read(self, cookie: str) -> Role | None:
        try:
            role = self._signer.unsign(cookie, max_age=SIGNED_IN_SECONDS).decode()
        except BadSignature:
            return None
        return "operator" if role == "operator" else "viewer"


@dataclass(frozen=True, slots=True)
class Door:
    """An entrance for those who present a token, or, if there is none, for everybody on this machine.

    Attributes:
        token: of operators, expected as ``Authorization: Bearer ...``; None if only this machine can connect.
        host: the host name of the service in the settings.
        view_token: of those who may only look; None if there is no such token.
    """

    token: str | None = field(default=None, repr=False)
    host: str = "127.0.0.1"
    view_token: str | None = field(default=None, repr=False)
    _passes: Passes = field(default_factory=Passes, repr=False, compare=False)

    @property
    def blanks(self) -> Sequence[Blank]:
        """The token."""
        return (Blank("token", "Token", "password", "current-password"),)

    @property
    def wrong(self) -> str:
        """What is said about a wrong token."""
        return "This token is not known here."

    @property
    def names(self) -> str:
        """Without a token, those of this machine."""
        return "only requests from this machine are allowed"

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
        return self._passes.role(cookies)

    def admits(self, hosts: list[bytes]) -> bool:
        """Whether a request without a token was meant for this machine."""
        if self.token is not None:
            return True
        return all(name == self.host.lower() or is_loopback(name) for name in map(host_name, hosts))

    async def signed_in(self, given: Mapping[str, str]) -> str | None:
        """The value of a cookie for somebody who presents a token; None if it is wrong."""
        role = self._role_of(given.get("token", "").strip().encode())
        return self._passes.issued(role) if role else None

    def way(self, role: Role | None) -> Way:
        """Whoever has signed in may sign out."""
        return "out" if role and self.token is not None else ""

    def _role_of(self, given: bytes) -> Role | None:
        role: Role | None = None
        for token, allows in ((self.view_token, "viewer"), (self.token, "operator")):
            if token is not None and hmac.compare_digest(given, token.encode()):
                role = "operator" if allows == "operator" else "viewer"
        return role


def cookie_name(port: int) -> str:
    """The name of the cookie of a service: browsers share cookies among all ports of a host."""
    return f"snk-{port}"


def cookies_of(headers: Iterable[bytes], name: str) -> list[str]:
    """The values of a cookie in the headers of a request, whatever other services of this host have put there."""
    pairs = (pair.partition("=") for header in headers for pair in header.decode("latin-1").split(";"))
    return [value.strip() for given, _, value in pairs if given.strip() == name]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; the only host name accepted as loopback is localhost."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def host_name(host: bytes) -> str:
    """The name in a header ``Host``, without the port; an address of IPv6 without brackets."""
    name = host.decode("latin-1").lower()
    return name.partition("]")[0].lstrip("[") if name.startswith("[") else name.partition(":")[0]
