"""Servers one by one."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from snk.embedded.postgres import PostgresServer
from snk.embedded.valkey import ValkeyServer

numbers = itertools.count(1)


@pytest.fixture(scope="module")
def lone(folder: Path) -> Iterator[PostgresServer]:
    """One cluster for the tests of a file; each finds it running."""
    state = folder / f"lone-{next(numbers)}"
    state.mkdir(mode=0o755)
    server = PostgresServer(state / "only", state, user="postgres", password="postgres")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(lone: PostgresServer) -> PostgresServer:
    lone.start()
    return lone


@pytest.fixture
def valkey(place: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(place / "redis", place)
    server.start()
    yield server
    server.stop()
