"""Two databases that TST can fill, and TST as a process."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.databases import Database
from tests.tst.process import TABLE, ForgetfulProxy, Process, Start


@pytest.fixture
async def tables(pair: Any) -> tuple[Database, Database]:
    """Both databases of the pair, with the empty table in them."""
    both = Database(pair.first), Database(pair.second)
    for database in both:
        await database.run(TABLE)
    return both


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start TST: ``start(pair, "--rows", "5", DB_PORT="5")``; what still runs at the end is killed."""
    started: list[Process] = []

    def run(pair: Any, *args: str, heritage: str = "", **environment: str) -> Process:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        urls = {"FIRST_DB_URL": pair.first, "SECOND_DB_URL": pair.second}
        started.append(Process(folder, {"PATH": os.defpath, **urls, **environment}, *args, heritage=heritage))
        return started[-1]

    yield run
    for process in started:
        process.kill()


@pytest.fixture
async def forgetful(pair: Any) -> AsyncIterator[str]:
    """The URL of the first database through a proxy that loses the answer to the second COMMIT, and hangs up."""
    proxy = ForgetfulProxy(pair.first)
    server = await asyncio.start_server(proxy.relay, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield re.sub(r"@127.0.0.1:\d+/", f"@127.0.0.1:{port}/", pair.first)
    assert proxy.commits > 1
