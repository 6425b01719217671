"""The public keys of an issuer: a JWK Set (RFC 7517) in a file or at a URL, or a secret shared with it.

Keys change while the service runs, so every source is looked at again: a file once a second, a URL every five minutes,
and both at once when a token names a key that is not among them. A URL is asked at most once in ten seconds, however
many tokens name keys that do not exist, and requests that wait for the same answer share it. As long as a source
cannot be read, or holds no key, the last good keys are used.
"""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any, Protocol
from urllib.parse import urlsplit

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey

from snk.http.auth.credentials import Algorithm
from snk.http.client import MOST_ANSWER_BYTES, Client, NoAnswer, Request
from snk.http.origin import Origin

PublicKey = ECKey | OKPKey | OctKey
LOOK_SECONDS = 1.0
RECENT_SECONDS = 2.0
"""A file may be changed again within one tick of its clock: until it is older, it is read at every look."""
FETCH_SECONDS = 10.0
"""The least time between two questions to a URL."""
ANSWER_SECONDS = 5.0
FRESH_SECONDS = 300.0
"""After this time a URL is asked although all keys are known: a key may have been withdrawn."""
_PUBLIC = {"EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x")}
_KIND = {"ES256": ("EC", "P-256"), "Ed25519": ("OKP", "Ed25519")}
HTTP_OK = 200

log = structlog.get_logger()


class NoKey(Exception):  # noqa: N818 - it is what the token is refused for
    """There is no key to check a token with; the message can be shown to everyone."""


class Keys(Protocol):
    """Where the keys of an issuer come from."""

    async def key(self, kid: str | None) -> PublicKey:
        """The key of this name; without a name, the only one there is.

        It is the same object for as long as the key is unchanged.

        Raises:
            NoKey: there is none.
        """

    async def trouble(self) -> str | None:
        """Why the source cannot be used at present; None if it can."""

    async def close(self) -> None:
        """Close connections."""


class SharedSecret:
    """A secret; what name a token gives it does not matter."""

    def __init__(self, secret: bytes) -> None:
        self._key = OctKey.import_key(secret)

    async def key(self, kid: str | None) -> PublicKey:
        """The secret."""
        del kid
        return self._key

    async def trouble(self) -> str | None:
        """None: it is there."""
        return None

    async def close(self) -> None:
        """Do nothing."""


class _Set:
    """The last good keys of a source, and whether the source could be read since."""

    def __init__(self, source: str, algorithm: Algorithm) -> None:
        self._source = source
        self._algorithm = algorithm
        self._text = b""
        self._keys: Mapping[str, PublicKey] = {}
        self.trouble: str | None = None

    def __bool__(self) -> bool:
        return bool(self._keys)

    def take(self, text: bytes) -> None:
        """Use these keys from now on, if they are any."""
        if text == self._text:
            return self._say(None)
        if len(text) >= MOST_ANSWER_BYTES:
            return self.fail(f"it is not shorter than {MOST_ANSWER_BYTES} bytes, of which no more are read")
        try:
            keys = public_keys(text, self._algorithm)
        except ValueError as error:
            return self.fail(str(error))
        self._text, self._keys = text, keys
        log.info("issuer_keys_read", source=self._source, kids=sorted(keys))
        return self._say(None)

    def fail(self, why: str) -> None:
        """Keep the keys; the source cannot be used."""
        self._say(f"{self._source}: {why}")

    def find(self, kid: str | None) -> PublicKey | None:
        """As Keys.key, but None if there is none."""
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    def reason(self, kid: str | None) -> NoKey:
        """Why nothing was found."""
        if not self._keys:
            return NoKey("the keys of its issuer cannot be read at present")
        return NoKey("it names no key (kid), and its issuer has several" if kid is None else "its key is not known")

    def _say(self, trouble: str | None) -> None:
        """Log when it begins and when it ends, and not each time."""
        if trouble and not self.trouble:
            log.warning("issuer_keys_not_read", reason=trouble, kept=sorted(self._keys))
        elif self.trouble and not trouble:
            log.info("issuer_keys_readable_again", source=self._source)
        self.trouble = trouble


class FileKeys:
    """Keys in a file, which is read again when it changes."""

    def __init__(self, path: Path, algorithm: Algorithm) -> None:
        self._path = path
        self._set = _Set(str(path), algorithm)
        self._stamp: tuple[int, ...] | None = None
        self._looked_at = float("-inf")

    async def key(self, kid: str | None) -> PublicKey:
        """As Keys.key."""
        if monotonic() - self._looked_at >= LOOK_SECONDS:
            await self._look()
        if (found := self._set.find(kid)) is None:
            await self._look()
            if (found := self._set.find(kid)) is None:
                raise self._set.reason(kid)
        return found

    async def trouble(self) -> str | None:
        """Why the file cannot be used."""
        await self._look()
        return self._set.trouble

    async def close(self) -> None:
        """Do nothing."""

    async def _look(self) -> None:
        self._looked_at = monotonic()
        try:
            changed = await asyncio.to_thread(self._changed)
        except OSError as error:
            self._set.fail(f"it cannot be read: {error.strerror}")
            return
        if changed is not None:
            self._stamp, text = changed
            self._set.take(text)

    def _changed(self) -> tuple[tuple[int, ...] | None, bytes] | None:
        """The file's stamp and text if it may have changed. A file without a stamp is read again at the next look."""
        if self._set.trouble is None and self._stamp is not None and _stamp(self._path.stat()) == self._stamp:
            return None
        with self._path.open("rb") as file:
            before = os.fstat(file.fileno())
            text = file.read(MOST_ANSWER_BYTES)
        settled = abs(time.time() - before.st_mtime) > RECENT_SECONDS
        return (_stamp(before) if settled else None), text


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class UrlKeys:
    """Keys at a URL. Redirects are not followed: they could lead to somebody else's keys."""

    def __init__(self, url: str, algorithm: Algorithm, pause_seconds: float = FETCH_SECONDS) -> None:
        """Assign.

        Args:
            url: an http or https URL.
            algorithm: what the keys are for.
            pause_seconds: the least time between two questions.
        """
        self._url = url
        self._pause_seconds = pause_seconds
        self._set = _Set(url, algorithm)
        self._client: Client | None = None
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = float("-inf")

    async def key(self, kid: str | None) -> PublicKey:
        """As Keys.key."""
        found = self._set.find(kid)
        if found is None:
            await self._ask()
            if (found := self._set.find(kid)) is None:
                raise self._set.reason(kid)
        elif monotonic() - self._asked_at > FRESH_SECONDS:
            self._begin()  # the answer is for later requests; this one does not wait
        return found

    async def trouble(self) -> str | None:
        """Why the URL cannot be used."""
        await self._ask()
        return self._set.trouble

    async def close(self) -> None:
        """End a question that is under way, and close the connection."""
        if self._asking:
            self._asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asking
        if self._client:
            await self._client.close()

    async def _ask(self) -> None:
        """Wait for an answer, unless the last one is too young."""
        if asking := self._begin():
            await asyncio.shield(asking)  # a client that hangs up does not take the answer from the others

    def _begin(self) -> asyncio.Task[None] | None:
        """The question that is under way, or a new one if it is time."""
        if self._asking and not self._asking.done():
            return self._asking
        if monotonic() - self._asked_at < self._pause_seconds:
            return None
        self._asked_at = monotonic()
        self._asking = asyncio.create_task(self._fetch())
        return self._asking

    async def _fetch(self) -> None:
        parts = urlsplit(self._url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if self._client is None:
            self._client = Client(Origin(parts.scheme, parts.hostname or "", port), 1, {"Accept": "application/json"})
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            answer = await self._client.send(Request("GET", target), ANSWER_SECONDS)
        except NoAnswer as error:
            self._set.fail(str(error))
            return
        if answer.status == HTTP_OK:
            self._set.take(answer.body)
        else:
            self._set.fail(f"it answered {answer.status}")


def public_keys(text: bytes, algorithm: Algorithm) -> dict[str, PublicKey]:
    """The keys of a JWK Set that serve for one algorithm, by their names.

    A key without a name has that of its thumbprint (RFC 7638). Keys of other kinds and uses are skipped, as RFC 7517
    demands, and of a private key only its public part is taken.

    Raises:
        ValueError: it is no JWK Set, or has no such key.
    """
    try:
        listed = json.loads(text)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("it holds no JWK Set") from None
    found: dict[str, PublicKey] = {}
    for jwk in listed if isinstance(listed, list) else ():
        if isinstance(jwk, dict) and _serves(jwk, algorithm):
            try:
                key = _imported(jwk)
            except (JoseError, ValueError, TypeError):
                continue
            kid = jwk.get("kid")
            found.setdefault(kid if isinstance(kid, str) else key.thumbprint(), key)
    if not found:
        raise ValueError(f"it holds no public key for {algorithm}")
    return found


def _serves(jwk: dict[str, Any], algorithm: Algorithm) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    named = (algorithm, "EdDSA") if algorithm == "Ed25519" else (algorithm,)
    return (
        (jwk.get("kty"), jwk.get("crv")) == _KIND.get(algorithm)
        and jwk.get("use", "sig") == "sig"
        and jwk.get("alg", algorithm) in named
        and isinstance(operations, list)
        and ("verify" in operations or "sign" in operations)
    )


def _imported(jwk: dict[str, Any]) -> ECKey | OKPKey:
    public = {name: jwk[name] for name in _PUBLIC[jwk["kty"]] if name in jwk}
    return ECKey.import_key(public) if jwk["kty"] == "EC" else OKPKey.import_key(public)
