"""Decides who a client is, by what it presents in the header ``Authorization``."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from snk.http.auth.credentials import ALL
from snk.http.auth.jwks import FileKeys, Keys, SharedSecret, UrlKeys
from snk.http.auth.settings import AuthSettings, IssuerTable
from snk.http.auth.tokens import MOST_TOKEN_BYTES, Issuer, Refused, Tokens

WAYS = "Authorization: Bearer TOKEN, or Basic with a user and password"


@dataclass(frozen=True, slots=True)
class Client:
    """Who sent a request.

    Attributes:
        name: ``issuer/subject``, ``token NAME``, ``user NAME``, or that of `ANYONE`; in a subject, ``/`` is ``%2F`` and
            ``%`` is ``%25``, so that no two clients have the same name.
        scopes: what it may do, such as ``records:read``; ``*`` is everything.
    """

    name: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether it may do this."""
        return scope in self.scopes or ALL in self.scopes


ANYONE = Client("a client without credentials", frozenset((ALL,)))
"""Every client of a service that asks for no credentials."""


class Unknown(Exception):  # noqa: N818 - it says what the client is
    """Nobody knows who the client is: answer 401. The message can be shown to everyone.

    Attributes:
        challenge: the value of ``WWW-Authenticate``.
    """

    def __init__(self, message: str, challenge: str) -> None:
        super().__init__(message)
        self.challenge = challenge


class Authority:
    """Knows the clients of the settings."""

    def __init__(self, settings: AuthSettings, clock: Callable[[], float] = time.time) -> None:
        """Assign; keys are read when a token needs them.

        Args:
            settings: who may do what.
            clock: the time in seconds since 1970.
        """
        self._settings = settings
        self._issuers = {each.issuer: _issuer(each) for each in settings.all_issuers}
        self._jwts = Tokens(self._issuers, settings.audience, clock)
        self._tokens = [
            (_digest(each.token.get_secret_value().encode()), Client(f"token {each.name}", frozenset(each.scopes)))
            for each in settings.tokens
        ]
        self._users = [
            (
                _digest(f"{each.user}:{each.password.get_secret_value()}".encode()),
                Client(f"user {each.user}", frozenset(each.scopes)),
            )
            for each in settings.users
        ]

    async def client(self, authorization: str | None) -> Client:
        """Who sent a request with this header; None if it has none.

        Raises:
            Unknown: the client is not known; answer with 401.
        """
        if not self._settings.closed:
            return ANYONE
        if not authorization:
            raise Unknown(f"credentials are missing; send {WAYS}", self._challenge(wrong=False))
        scheme, _, given = authorization.partition(" ")
        try:
            return await self._known(scheme.lower(), given.strip(" "))
        except Refused as error:
            raise Unknown(str(error), self._challenge(wrong=True)) from None

    async def troubles(self) -> list[str]:
        """Issuers whose keys cannot be read at present, so that their tokens are refused or checked by old keys."""
        found = [(name, await issuer.keys.trouble()) for name, issuer in self._issuers.items()]
        return [f"the keys of the issuer {name!r} cannot be read: {why}" for name, why in found if why]

    async def close(self) -> None:
        """Close the connections to issuers."""
        for issuer in self._issuers.values():
            await issuer.keys.close()

    async def _known(self, scheme: str, given: str) -> Client:
        if scheme == "bearer":
            return await self._bearer(given)
        if scheme == "basic":
            return self._basic(given)
        raise Refused(f"the scheme of Authorization is neither Bearer nor Basic; send {WAYS}")

    async def _bearer(self, token: str) -> Client:
        if client := _matching(token.encode(errors="surrogatepass"), self._tokens):
            return client
        if not self._issuers:
            raise Refused("the token is not known")
        proven = await self._jwts.verified(token)
        subject = proven.subject.replace("%", "%25").replace("/", "%2F")
        return Client(f"{proven.issuer}/{subject}", proven.scopes)

    def _basic(self, given: str) -> Client:
        try:
            if len(given) > MOST_TOKEN_BYTES:
                raise Refused("user and password are too long")
            pair = base64.b64decode(given, validate=True)
        except ValueError:
            raise Refused("user and password are not in base64") from None
        if client := _matching(pair, self._users):
            return client
        raise Refused("the user is not known, or the password is wrong")

    def _challenge(self, *, wrong: bool) -> str:
        """How to come in (RFC 6750, 3; RFC 7617, 2)."""
        realm = f'realm="{self._settings.audience}"'
        ways = []
        if self._issuers or self._tokens:
            ways.append(f"Bearer {realm}" + (', error="invalid_token"' if wrong else ""))
        if self._users:
            ways.append(f'Basic {realm}, charset="UTF-8"')
        return ", ".join(ways)


def _issuer(table: IssuerTable) -> Issuer:
    return Issuer(table.algorithm, _keys(table), frozenset(table.scopes) or None)


def _keys(table: IssuerTable) -> Keys:
    if table.secret is not None:
        return SharedSecret(table.secret.get_secret_value().encode())
    if "://" in table.jwks:
        return UrlKeys(table.jwks, table.algorithm)
    return FileKeys(Path(table.jwks), table.algorithm)


def _digest(secret: bytes) -> bytes:
    """Digests have one length, so that a comparison tells nothing about a secret's."""
    return hashlib.sha256(secret).digest()


def _matching(given: bytes, known: Iterable[tuple[bytes, Client]]) -> Client | None:
    """The client with this secret; every one is compared, so that the time tells nothing about which."""
    digest = _digest(given)
    found: Client | None = None
    for secret, client in known:
        if hmac.compare_digest(secret, digest):
            found = client
    return found
