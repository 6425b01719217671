"""Backends of the hand-off: the reference one on a database of its own, and a client that sends what it is told."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from snk.handoff.reference import Backend
from snk.pair.servers import EmbeddedPair
from tests.conftest import names, psql


@dataclass(frozen=True)
class Got:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def version(self) -> str | None:
        return self.headers.get("Version")

    @property
    def stale(self) -> bool:
        return self.headers.get("VerError") == "true"


class Asker:
    """Sends requests to one server, exactly as they are given."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._address = address

    async def get(self, target: str, **headers: str) -> Got:
        return await self.send("GET", target, b"", headers)

    async def post(self, target: str, body: bytes = b"", **headers: str) -> Got:
        return await self.send("POST", target, body, headers)

    async def send(self, verb: str, target: str, body: bytes, headers: Mapping[str, str]) -> Got:
        url = URL(f"http://{self._address}{target}", encoded=True)
        async with self._session.request(verb, url, data=body or None, headers=headers) as answer:
            return Got(answer.status, answer.headers, await answer.read())


@asynccontextmanager
async def asking(address: str) -> AsyncIterator[Asker]:
    """A client of one server."""
    async with aiohttp.ClientSession() as session:
        yield Asker(session, address)


@asynccontextmanager
async def running(servers: EmbeddedPair, authorization: str | None = None, port: int = 0) -> AsyncIterator[Backend]:
    """A backend with an empty database."""
    name = next(names)
    psql(servers.first, f"create database {name}")
    backend = Backend(servers.first.dsn.removesuffix("postgres") + name, authorization)
    try:
        await backend.start(port)
        yield backend
    finally:
        await backend.stop()
        psql(servers.first, f"drop database {name} with (force)")
