"""What a client presents to a service: a bearer token, a user and password, or a JWT that it signs itself.

A JWT lives for at most five minutes (RFC 7519, RFC 8725). The client keeps it until shortly before it ends, so that a
signature is made once in four minutes and not once per request. The file of the key is read again for every JWT:
to change the key, replace the file; no restart is needed.
"""

import base64
import json
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey
from pydantic import AfterValidator, Field, model_validator
from yarl import URL

from snk.errors import SettingsError
from snk.http.origin import origin_of
from snk.settings import Secret, SettingsTable

Algorithm = Literal["ES256", "Ed25519", "HS256"]
"""The signatures that SNK makes and accepts."""
TOKEN_SECONDS = 300
"""How long a JWT may live."""
LEEWAY_SECONDS = 30
"""By how much the clocks of those who make and those who check JWTs may differ."""
RENEW_SECONDS = 60
"""A JWT that ends sooner than this is replaced: the request may wait in a queue, and clocks differ by some seconds."""
SECRET_BYTES = 32
"""The least size of a shared secret: that of the digest (RFC 7518, 3.2)."""
ALL = "*"
"""The scope that stands for every scope."""
SCOPE = r"[!#-\[\]-~]+"
"""One scope (RFC 6749, 3.3)."""
_SIGNED = ("jwt_key", "issuer", "audience")

log = structlog.get_logger()


class AuthTable(SettingsTable):
    """How a client proves who it is: by at most one of a token, a user with a password, and a signing key.

    Attributes:
        bearer: a token that is sent as it is.
        user: a name for HTTP's Basic scheme; without a colon.
        password: of this user.
        jwt_key: a file with a private key, as JWK or PEM; for HS256 a JWK of type ``oct``.
        algorithm: of the signature; the service accepts exactly one from an issuer.
        issuer: the claim ``iss``, by which the service knows whose key it is.
        audience: the claim ``aud``, which names the service.
        subject: the claim ``sub``, which names this client.
        scope: what the token allows, separated by spaces, such as ``records:read records:write``.
    """

    bearer: Secret | None = None
    user: str = ""
    password: Secret | None = None
    jwt_key: str = ""
    algorithm: Algorithm = "ES256"
    issuer: str = ""
    audience: str = ""
    subject: str = "snk"
    scope: str = ""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = self.model_fields_set
        kinds = {
            "bearer": self.bearer is not None,
            "user and password": bool(self.user) or self.password is not None,
            "jwt_key": bool(self.jwt_key),
        }
        chosen = [kind for kind, is_given in kinds.items() if is_given]
        if len(chosen) > 1:
            raise ValueError(f"It has {' as well as '.join(chosen)}; give one of them")
        if not self.jwt_key and (idle := sorted(given & {"algorithm", "issuer", "audience", "subject", "scope"})):
            raise ValueError(f"It has {', '.join(idle)}, but no jwt_key, the file of the key that signs")
        self._check_values()
        return self

    def _check_values(self) -> None:
        if self.bearer is not None and not re.fullmatch(r"[!-~]+", self.bearer.get_secret_value()):
            raise ValueError("Its bearer is empty, or has characters that an HTTP header cannot contain")
        if bool(self.user) != (self.password is not None):
            raise ValueError("Give both user and password")
        if re.search(r"[:\x00-\x1f\x7f]", self.user):
            raise ValueError(f"Its user is {self.user!r}; a colon or a control character cannot be sent")
        if self.jwt_key:
            if missing := [name for name in _SIGNED if not getattr(self, name)]:
                raise ValueError(f"It has jwt_key, but no {' and no '.join(missing)}")
            if not self.subject:
                raise ValueError("Its subject is empty; name this client")
            if wrong := [scope for scope in self.scope.split() if not re.fullmatch(SCOPE, scope)]:
                raise ValueError(f"Its scope has {wrong[0]!r}; write names such as records:read, separated by spaces")

    @property
    def proves(self) -> bool:
        """Whether there is anything to send."""
        return self.bearer is not None or bool(self.user or self.jwt_key)

    def allows(self, url: URL) -> bool:  # noqa: ARG002 - see `BoundAuthTable`
        """Whether it may be sent to an address."""
        return True


def _is_origin(given: str) -> str:
    """The origin itself.

    Raises:
        ValueError: it is none.
    """
    url = URL(given)
    plain = not (url.user or url.password or url.query_string or url.fragment) and url.path in ("", "/")
    if url.scheme not in ("http", "https") or not url.host or not plain or not re.fullmatch(r"[!-~]+", given):
        raise ValueError("write the beginning of an address, https://HOST or https://HOST:PORT, and no path")
    _ = url.port  # raises ValueError for what is no port
    return given


class BoundAuthTable(AuthTable):
    """The same, for a client whose requests go where others say.

    Attributes:
        origins: where it may be sent, as ``https://HOST:PORT``; if there are none, everywhere.
    """

    origins: tuple[Annotated[str, AfterValidator(_is_origin)], ...] = Field((), alias="for", min_length=1)

    @property
    def unbound(self) -> bool:
        """Whether something is sent wherever others say."""
        return self.proves and not self.origins

    def allows(self, url: URL) -> bool:
        """Whether it may be sent to an address."""
        return not self.origins or origin_of(url) in {origin_of(URL(each)) for each in self.origins}


class SigningKey(NamedTuple):
    """A private key, and the one algorithm that it is used with.

    Attributes:
        kid: its name at the issuer; None if it has none.
    """

    key: ECKey | OKPKey | OctKey
    algorithm: Algorithm
    kid: str | None

    def mint(self, claims: dict[str, Any], now: float, seconds: int = TOKEN_SECONDS) -> str:
        """A JWT with these claims, and with ``iat``, ``exp`` and ``jti``.

        Args:
            claims: ``iss``, ``aud``, ``sub`` and ``scope``.
            now: the time in seconds since 1970.
            seconds: how long it lives.
        """
        header = {"alg": self.algorithm} | ({"kid": self.kid} if self.kid else {})
        times = {"iat": int(now), "exp": int(now) + seconds, "jti": secrets.token_urlsafe(12)}
        return jwt.encode(header, {**claims, **times}, self.key, algorithms=[self.algorithm])


def read_signing_key(name: str, path: Path, algorithm: Algorithm) -> SigningKey:
    """Read a private key from a file: a JWK, or PEM.

    Args:
        name: the setting's name, for errors.
        path: the file.
        algorithm: what the key is used for.

    Raises:
        SettingsError: the file cannot be read, or holds no private key for this algorithm.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{name} is {str(path)!r}, which cannot be read: {error.strerror}") from None
    hint = f"{_WANTED[algorithm]}; `snk serve keys rotate` and `snk batch keys rotate` make one"
    try:
        jwk = json.loads(text) if text.lstrip().startswith(b"{") else None
        key = _key(jwk if jwk is not None else text, algorithm)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        # The library's words may repeat parts of the key.
        raise SettingsError(f"{name} is {str(path)!r}, which holds no key for {algorithm}", hint=hint) from None
    if not key.is_private:
        raise SettingsError(f"{name} is {str(path)!r}, which holds a public key", hint=hint)
    kid = jwk.get("kid") if jwk is not None else None
    return SigningKey(key, algorithm, kid if isinstance(kid, str) else None)


_WANTED = {
    "ES256": "Name a JWK or PEM file with a private key of the curve P-256",
    "Ed25519": "Name a JWK or PEM file with a private Ed25519 key",
    "HS256": f"Name a JWK file of type oct with at least {SECRET_BYTES} bytes",
}


def _key(given: Any, algorithm: Algorithm) -> ECKey | OKPKey | OctKey:
    """A key of the kind that an algorithm needs.

    Raises:
        ValueError: it is of another kind; the library raises further errors.
    """
    if algorithm == "HS256":
        # Bytes are refused: a PEM file would be taken as a secret that is no secret.
        if not isinstance(given, dict):
            raise ValueError("not a JWK")
        secret = OctKey.import_key(given)
        if len(secret.raw_value) < SECRET_BYTES:
            raise ValueError("too short")
        return secret
    kind, curve = ("EC", "P-256") if algorithm == "ES256" else ("OKP", "Ed25519")
    if isinstance(given, dict) and given.get("kty") != kind:
        raise ValueError("another type")
    key: ECKey | OKPKey = (ECKey if kind == "EC" else OKPKey).import_key(given)
    if key.curve_name != curve:
        raise ValueError("another curve")
    return key


class Credentials:
    """What a client sends in the header ``Authorization``."""

    def __init__(self, settings: AuthTable, clock: Callable[[], float] = time.time) -> None:
        """Assign.

        Args:
            settings: how the client proves who it is.
            clock: the time in seconds since 1970.
        """
        self._settings = settings
        self._clock = clock
        self._key: SigningKey | None = None
        self._minted = ""
        self._minted_at = float("-inf")

    def header(self) -> str | None:
        """The header's value for a request that is sent now; None if there is no such header.

        Call it once at the start: only then is a wrong file of the key an error. Later, while the file is replaced
        or missing, the last key is used.

        Raises:
            SettingsError: the file of the key cannot be used, and was never read.
        """
        settings = self._settings
        if settings.bearer is not None:
            return f"Bearer {settings.bearer.get_secret_value()}"
        if settings.password is not None:
            pair = f"{settings.user}:{settings.password.get_secret_value()}"
            return f"Basic {base64.b64encode(pair.encode()).decode()}"
        return f"Bearer {self._token()}" if settings.jwt_key else None

    def allowed(self, url: URL) -> bool:
        """Whether they may be sent to an address."""
        return self._settings.allows(url)

    def _token(self) -> str:
        now = self._clock()
        # A clock that was set back makes the token one of the future, which services refuse.
        if not self._minted_at <= now < self._minted_at + TOKEN_SECONDS - RENEW_SECONDS:
            key = self._key = self._newest_key()
            settings = self._settings
            claims = {"iss": settings.issuer, "aud": settings.audience, "sub": settings.subject}
            scope = {"scope": " ".join(settings.scope.split())} if settings.scope.split() else {}
            self._minted = key.mint({**claims, **scope}, now)
            self._minted_at = now
        return self._minted

    def _newest_key(self) -> SigningKey:
        try:
            return read_signing_key("jwt_key", Path(self._settings.jwt_key), self._settings.algorithm)
        except SettingsError as error:
            if self._key is None:
                raise
            log.warning("signing_key_not_read", error=str(error))
            return self._key
