"""Who may use a service: a table such as ``[serve.auth]`` of the file of settings."""

import difflib
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import SplitResult, urlsplit

from joserfc.jwk import OctKey
from pydantic import ConfigDict, Field, field_validator, model_validator

from snk.errors import SettingsError
from snk.http.auth.credentials import ALL, SCOPE, SECRET_BYTES, Algorithm, AuthTable
from snk.http.auth.keys import PUBLIC, SIGNING
from snk.http.token import check_token
from snk.settings import PartOfTable, Secret, SettingsTable

LEAST_PASSWORD = 8
"""Characters."""
Scope = Annotated[str, Field(pattern=f"^{SCOPE}$")]
Plain = Annotated[str, Field(pattern=r"^[!#-\[\]-~]+$", max_length=255)]
"""What names an issuer or a service: ASCII without spaces, quotes and backslashes, as it gets into headers."""
Name = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f:]+$", max_length=255)]


class IssuerTable(SettingsTable):
    """Somebody whose JWTs are accepted.

    Attributes:
        issuer: the claim ``iss`` of its tokens.
        algorithm: of its signatures; a token that names another one is refused.
        jwks: the path or http(s) URL of its public keys, a JWK Set (RFC 7517).
        secret: instead of jwks for HS256: what only the issuer and this service know; at least 32 bytes.
        scopes: all that its tokens may allow; empty for whatever they say.
    """

    issuer: Plain
    algorithm: Algorithm
    jwks: str = ""
    secret: Secret | None = None
    scopes: tuple[Scope, ...] = ()

    @field_validator("jwks")
    @classmethod
    def _reachable(cls, jwks: str) -> str:
        if "://" in jwks:
            _check_url(jwks)
        return jwks

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.algorithm == "HS256":
            if self.jwks or self.secret is None:
                # With a JWKS, anyone who reads the public keys could sign with them.
                raise ValueError("the algorithm HS256 needs a secret, and no jwks")
            _check_secret(self.secret.get_secret_value().encode())
        elif self.secret is not None or not self.jwks:
            raise ValueError(
                f"the algorithm {self.algorithm} needs jwks, the path or URL of the public keys, and no secret"
            )
        return self


class TokenTable(SettingsTable):
    """A bearer token.

    Attributes:
        name: what the client is called in logs and limits.
        token: what it sends.
        scopes: what it may do; ``*`` is everything.
    """

    name: Name
    token: Secret
    scopes: tuple[Scope, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _hard_to_guess(self) -> Self:
        try:
            check_token("its token", self.token.get_secret_value())
        except SettingsError as error:
            raise ValueError(str(error)) from None
        return self


class UserTable(SettingsTable):
    """A user of HTTP's Basic scheme.

    Attributes:
        user: the name.
        password: at least 8 characters.
        scopes: what the user may do; ``*`` is everything.
    """

    user: Name
    password: Secret
    scopes: tuple[Scope, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        if (size := len(self.password.get_secret_value())) < LEAST_PASSWORD:
            raise ValueError(f"its password has {size} characters; use at least {LEAST_PASSWORD}")
        return self


class KeySettings(PartOfTable):
    """What a table such as ``[serve.auth]`` says of the service's own keys: all that those who make them need to know.

    Attributes:
        audience: what tokens have to name as their only ``aud``: this service.
        keys: the folder of the service's own signing keys, made by `snk SERVICE keys rotate`; empty for none.
        issuer: the ``iss`` of tokens that are signed with them.
        algorithm: of those keys.
        known_scopes: all that clients may be allowed, as `check_scope` takes them; empty where that is not known.
    """

    known_scopes: ClassVar[tuple[str, ...]] = ()
    audience: Plain = "snk-serve"
    keys: str = ""
    issuer: Plain = "snk-serve"
    algorithm: Literal["ES256", "Ed25519"] = "ES256"


class AuthSettings(KeySettings):
    """A table such as ``[serve.auth]``.

    Without any issuer, token, user and folder of keys, every client may do everything.

    Attributes:
        issuers: whose JWTs are accepted.
        tokens: bearer tokens.
        users: users with passwords.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuers: tuple[IssuerTable, ...] = ()
    tokens: tuple[TokenTable, ...] = ()
    users: tuple[UserTable, ...] = ()

    @property
    def closed(self) -> bool:
        """Whether clients have to prove who they are; if not, everyone may do everything."""
        return bool(self.issuers or self.tokens or self.users or self.keys)

    @property
    def all_issuers(self) -> tuple[IssuerTable, ...]:
        """The issuers, with the service itself if it has keys of its own."""
        if not self.keys:
            return self.issuers
        own = IssuerTable(issuer=self.issuer, algorithm=self.algorithm, jwks=str(Path(self.keys) / PUBLIC))
        return (*self.issuers, own)

    def signed(self, audience: str, subject: str, scope: str) -> AuthTable:
        """Tokens that are signed with the service's own keys, for another service; nothing if it has no keys."""
        if not self.keys:
            return AuthTable()
        return AuthTable(
            jwt_key=str(Path(self.keys) / SIGNING),
            algorithm=self.algorithm,
            issuer=self.issuer,
            audience=audience,
            subject=subject,
            scope=scope,
        )

    @model_validator(mode="after")
    def _known(self) -> Self:
        clients: list[IssuerTable | TokenTable | UserTable] = [*self.issuers, *self.tokens, *self.users]
        for scope in (scope for each in clients for scope in each.scopes):
            try:
                check_scope(scope, self.known_scopes)
            except ValueError as error:
                raise ValueError(f"its scopes have {scope!r}: {error}") from None
        return self

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for kind, names in (
            ("issuers", (each.issuer for each in self.all_issuers)),
            ("tokens", (each.name for each in self.tokens)),
            ("users", (each.user for each in self.users)),
        ):
            if twice := _repeated(names):
                raise ValueError(f"its {kind} have {twice!r} twice; each needs a name of its own")
        if _repeated(each.token.get_secret_value() for each in self.tokens):
            raise ValueError("two of its tokens are the same; nobody could tell the clients apart")
        return self


def check_scope(scope: str, known: Collection[str]) -> None:
    """Refuse a scope that opens nothing.

    Args:
        scope: what is given.
        known: all that there are; one that ends in ``:TASK`` stands for every task. If it is empty, any scope may be.

    Raises:
        ValueError: the nearest one, and all of them.
    """
    tasks = [name.removesuffix("TASK") for name in known if name.endswith(":TASK")]
    of_a_task = any(scope.startswith(name) and scope != name for name in tasks)
    if known and scope not in (*known, ALL) and not of_a_task:
        nearest = difflib.get_close_matches(scope, known, n=1, cutoff=0.0)[0]
        listed = ", ".join((*known, ALL))
        raise ValueError(f"there is no such scope; the nearest one is {nearest}; there are {listed}")


def _repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _check_secret(secret: bytes) -> None:
    """Refuse a secret that is easy to guess, or is none, such as a public key.

    Raises:
        ValueError: what is wrong with it.
    """
    if len(secret) < SECRET_BYTES:
        hint = "`openssl rand -hex 32` makes one"
        raise ValueError(f"its secret has {len(secret)} bytes; use at least {SECRET_BYTES}: {hint}")
    if b"-----BEGIN " in secret:
        raise ValueError(
            "its secret is a PEM file, and everyone may have a public key; `openssl rand -hex 32` makes one"
        )
    try:
        OctKey.import_key(secret)
    except ValueError:
        raise ValueError(
            "its secret is a public key, which everyone may have; `openssl rand -hex 32` makes one"
        ) from None


def _check_url(url: str) -> SplitResult:
    """The parts of a URL of keys.

    Raises:
        ValueError: it cannot be fetched.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write a path, or a URL such as https://issuer.example/jwks.json")
    if parts.username is not None or parts.fragment or not re.fullmatch(r"[!-~]+", url):
        raise ValueError("write a URL of ASCII characters, without a user and without a fragment")
    _ = parts.port  # raises ValueError for what is no port
    return parts
