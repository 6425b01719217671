"""Checks JWTs (RFC 7519) as RFC 8725 advises: what a token says about itself never chooses how it is checked.

The claim ``iss`` chooses an issuer out of the settings, and the issuer has one algorithm. A token that names another
one, or none, is refused before any signature is looked at. So are tokens with critical headers, with unencoded
content, and with more than 8 KiB. Keys that a token carries or links to (``jwk``, ``jku``, ``x5c``, ``x5u``) are
ignored.

A token that was checked is remembered until it ends, as a signature costs more than everything else in a small
request. Only its digest is kept, with its key: when the key is withdrawn, the token is checked again.
"""

import hashlib
import json
import re
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from snk.http.auth.credentials import ALL, LEEWAY_SECONDS, SCOPE, TOKEN_SECONDS, Algorithm
from snk.http.auth.jwks import Keys, NoKey, PublicKey

MOST_TOKEN_BYTES = 8192
MOST_NAME = 255
REMEMBERED = 1024
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Refused(Exception):  # noqa: N818 - it says what became of the token
    """The token is not accepted; the message can be shown to everyone."""


class Issuer(NamedTuple):
    """Whose tokens are accepted.

    Attributes:
        scopes: all that its tokens may allow; None for whatever they say.
    """

    algorithm: Algorithm
    keys: Keys
    scopes: frozenset[str] | None = None


class Verified(NamedTuple):
    """What a token proves.

    Attributes:
        starts: before this time, in seconds since 1970, it is not valid.
        ends: at this time it is not valid any more.
    """

    issuer: str
    subject: str
    scopes: frozenset[str]
    starts: float
    ends: float


class _Known(NamedTuple):
    issuer: Issuer
    kid: str | None
    key: PublicKey
    verified: Verified


class Tokens:
    """The tokens of some issuers for one audience."""

    def __init__(self, issuers: Mapping[str, Issuer], audience: str, clock: Callable[[], float]) -> None:
        """Assign.

        Args:
            issuers: by their claim ``iss``.
            audience: the only ``aud`` that is accepted.
            clock: the time in seconds since 1970.
        """
        self._issuers = issuers
        self._audience = audience
        self._clock = clock
        self._registries = {
            each.algorithm: JWSRegistry(algorithms=[each.algorithm], strict_check_header=False)
            for each in issuers.values()
        }
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def verified(self, token: str) -> Verified:
        """What a token proves.

        Raises:
            Refused: it is not valid.
        """
        if len(token) > MOST_TOKEN_BYTES:
            raise Refused(f"the token is longer than {MOST_TOKEN_BYTES} bytes")
        if not _FORM.fullmatch(token):
            raise Refused("it is neither a known token nor a JWT")
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        try:
            if known and await known.issuer.keys.key(known.kid) is known.key:
                _check_time(known.verified, self._clock())
                self._known.move_to_end(digest, last=True)
                return known.verified
            known = await self._checked(token)
        except NoKey as error:
            raise Refused(str(error)) from None
        self._known[digest] = known
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return known.verified

    async def _checked(self, token: str) -> _Known:
        head, body, _ = token.split(".")
        header, unproven = _object(head), _object(body)
        name = unproven.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise Refused("its issuer (iss) is not known")
        if header.get("alg") != issuer.algorithm:
            raise Refused(f"its algorithm (alg) is not {issuer.algorithm}")
        if "crit" in header or "b64" in header:
            raise Refused("it has critical headers (crit), of which none is known")
        kid = header.get("kid")
        if kid is not None and not isinstance(kid, str):
            raise Refused("its kid is no text")
        key = await issuer.keys.key(kid)
        try:
            claims = jwt.decode(token, key, registry=self._registries[issuer.algorithm]).claims
        except (JoseError, ValueError, TypeError):
            raise Refused("its signature is wrong") from None
        return _Known(issuer, kid, key, self._judged(claims, issuer))

    def _judged(self, claims: dict[str, Any], issuer: Issuer) -> Verified:
        """What the claims say; from here on they are known to be the issuer's."""
        if claims.get("aud") != self._audience:
            raise Refused("its audience (aud) is not this service alone")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject.isprintable() or not 0 < len(subject) <= MOST_NAME:
            raise Refused("its subject (sub) is missing, or is no short printable text")
        if "exp" not in claims:
            raise Refused("it has no exp")
        times = {name: _seconds(name, claims[name]) for name in ("exp", "nbf", "iat") if name in claims}
        # One that lives longer becomes valid only when five minutes are left of it.
        begins = (times["exp"] - TOKEN_SECONDS, *(times[name] for name in ("nbf", "iat") if name in times))
        verified = Verified(
            claims["iss"],
            subject,
            _allowed(claims.get("scope", ""), issuer.scopes),
            max(begins) - LEEWAY_SECONDS,
            times["exp"] + LEEWAY_SECONDS,
        )
        _check_time(verified, self._clock())
        return verified


def _check_time(verified: Verified, now: float) -> None:
    if now >= verified.ends:
        raise Refused("it has expired (exp)")
    if now < verified.starts:
        raise Refused(f"it is not valid yet (nbf, iat), or for more than {TOKEN_SECONDS} seconds (exp)")


def _object(part: str) -> dict[str, Any]:
    try:
        found = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        raise Refused("it is neither a known token nor a JWT") from None
    if not isinstance(found, dict):
        raise Refused("it is neither a known token nor a JWT")
    return found


def _seconds(name: str, value: object) -> float:
    """A NumericDate. Bounds exclude infinity, what is not a number, and integers that no float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise Refused(f"its {name} is no time in seconds since 1970")
    return float(value)


def _allowed(scope: object, most: frozenset[str] | None) -> frozenset[str]:
    """What the claim ``scope`` allows (RFC 8693, 4.2), within what its issuer may allow."""
    if not isinstance(scope, str):
        raise Refused("its scope is no text")
    said = frozenset(each for each in scope.split(" ") if re.fullmatch(SCOPE, each))
    if most is None or ALL in most:
        return said
    return most if ALL in said else said & most
