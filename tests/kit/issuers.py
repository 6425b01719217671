"""Issuers of JWTs, honest and not: tokens are put together by hand, so that everything in them can be wrong."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiohttp import web
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

from snk.embedded.process import free_port

NAME = "https://issuer.example"
AUDIENCE = "snk-serve"
JwtKey = ECKey | OKPKey


def encoded(content: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def a_key(algorithm: str = "ES256", kid: str | None = None) -> JwtKey:
    """A new private key."""
    parameters: Any = {"kid": kid} if kid else None
    if algorithm == "ES256":
        return ECKey.generate_key("P-256", parameters=parameters, auto_kid=kid is None)
    return OKPKey.generate_key("Ed25519", parameters=parameters, auto_kid=kid is None)


def jwks(*keys: JwtKey) -> str:
    """A set of the public keys."""
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]})


def claims(**changed: Any) -> dict[str, Any]:
    """Good claims, but for those that are changed; None leaves one out."""
    good = {"iss": NAME, "aud": AUDIENCE, "sub": "client", "exp": int(time.time()) + 200, "scope": "records:read"}
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def a_token(key: JwtKey, said: dict[str, Any] | bytes | None = None, algorithm: str = "", **header: Any) -> str:
    """A token that is signed rightly, whatever it says; a header of None is left out."""
    algorithm = algorithm or ("ES256" if isinstance(key, ECKey) else "Ed25519")
    head = {"alg": algorithm, "typ": "JWT", "kid": key.kid, **header}
    body = said if isinstance(said, bytes) else json.dumps(claims() if said is None else said).encode()
    return signed(key, {name: value for name, value in head.items() if value is not None}, body, algorithm)


def signed(key: JwtKey, header: dict[str, Any], body: bytes, algorithm: str) -> str:
    """The signature of an algorithm under any header."""
    what = f"{encoded(json.dumps(header).encode())}.{encoded(body)}"
    signature = jws.JWSRegistry.algorithms[algorithm].sign(what.encode(), key)
    return f"{what}.{encoded(signature)}"


def hs256(secret: bytes, said: dict[str, Any] | None = None, **header: Any) -> str:
    """A token with a shared secret."""
    head = {"alg": "HS256", "typ": "JWT", **header}
    what = f"{encoded(json.dumps(head).encode())}.{encoded(json.dumps(said or claims()).encode())}"
    return f"{what}.{encoded(hmac.digest(secret, what.encode(), hashlib.sha256))}"


def replaced(path: Path, text: str) -> None:
    """Put a new file in the place of another, in one step."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


@dataclass
class KeyServer:
    """A server of keys.

    Attributes:
        answer: makes the answer to each request.
        asked: how many requests came.
    """

    answer: Callable[[web.Request], Any]
    asked: int = 0
    port: int = 0
    runner: web.AppRunner = field(init=False)

    async def __aenter__(self) -> Self:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.asked += 1
            found = self.answer(request)
            return found if isinstance(found, web.StreamResponse) else await found

        app = web.Application()
        app.router.add_get("/{tail:.*}", handle)
        self.runner = web.AppRunner(app, shutdown_timeout=1)
        await self.runner.setup()
        self.port = self.port or free_port()
        await web.TCPSite(self.runner, "127.0.0.1", self.port, reuse_address=True).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.runner.cleanup()

    @property
    def url(self) -> str:
        """Where the keys are."""
        return f"http://127.0.0.1:{self.port}/jwks.json"
