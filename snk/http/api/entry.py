"""Who may do what: authentication, scopes, and how often a client may ask."""

import time
from collections.abc import Awaitable, Callable, Iterable

from fastapi import Request

from snk.core.bucket import Bucket
from snk.http.api.problem import Problem, invalid
from snk.http.auth.authority import ANYONE, Authority, Client, Unknown

MOST_BUCKETS = 10_000


class Rates:
    """How often each client may ask.

    Args:
        rate: requests per second; 0 is no limit. A client that was idle may send those of one second at once.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._buckets: dict[str, Bucket] = {}

    def take(self, who: str) -> None:
        """Count a request of a client.

        Raises:
            Problem: it asks too often.
        """
        if not self._rate:
            return
        now = time.monotonic()
        if who not in self._buckets and len(self._buckets) >= MOST_BUCKETS:
            self._buckets = {name: bucket for name, bucket in self._buckets.items() if not bucket.idle(now)}
        bucket = self._buckets.setdefault(who, Bucket(self._rate, max(1.0, self._rate)))
        if wait := bucket.take(now):
            words = f"More than {self._rate:g} requests per second"
            raise Problem(429, "too-often", words, headers={"Retry-After": str(max(1, round(wait + 0.5)))})


class Entry:
    """Lets clients in.

    Args:
        authority: knows clients.
        rates: how often they may ask.
    """

    def __init__(self, authority: Authority, rates: Rates) -> None:
        self._authority = authority
        self._rates = rates

    def to(self, scope: str, parameters: Iterable[str] = ()) -> Callable[[Request], Awaitable[Client]]:
        """What lets in clients that have a scope, with these parameters in the query and no others."""
        known = frozenset(parameters)

        async def admit(request: Request) -> Client:
            client = await self._client(request)
            if not client.may(scope):
                raise scope_missing(scope)
            _check_query(request, known)
            return client

        return admit

    def known(self, parameters: Iterable[str] = ()) -> Callable[[Request], Awaitable[Client]]:
        """What lets in every client that is known, as `to` does; the caller sees to its scopes."""
        known = frozenset(parameters)

        async def admit(request: Request) -> Client:
            client = await self._client(request)
            _check_query(request, known)
            return client

        return admit

    async def _client(self, request: Request) -> Client:
        given = request.headers.getlist("authorization")
        address = f"address {request.client.host if request.client else ''}"
        try:
            client = await self._authority.client(", ".join(given) if given else None)
        except Unknown as error:
            self._rates.take(address)
            raise Problem(401, "unknown-client", str(error), headers={"WWW-Authenticate": error.challenge}) from None
        self._rates.take(address if client == ANYONE else f"client {client.name}")
        return client


def scope_missing(scope: str) -> Problem:
    """A client may not do what it asks for."""
    return Problem(403, "scope-missing", f"The scope {scope} is missing", {"scope": scope})


def _check_query(request: Request, known: frozenset[str]) -> None:
    names = [name for name, _ in request.query_params.multi_items()]
    if unknown := [name for name in names if name not in known]:
        there = f"there are {', '.join(sorted(known))}" if known else "there are none"
        raise invalid(unknown[0], f"There is no parameter {unknown[0]!r} here; {there}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise invalid(twice, f"{twice} is there twice")
