"""The demo: it shows what it should, fails where it should, and leaves nothing behind."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from snk.embedded.proxy import Proxy
from snk.handoff import record as r
from snk.handoff.asked import Asked
from snk.handoff.demo.run import Result, compare
from snk.handoff.demo.writer import Known
from snk.handoff.record import Record
from snk.handoff.reference_data import Data
from snk.pair.servers import EmbeddedPair
from tests.conftest import names, psql

DEMO = [sys.executable, "-m", "snk", "handoff", "demo"]


@pytest.mark.long
def test_both_backends_hold_the_same_after_all_faults() -> None:
    done = subprocess.run([*DEMO, "--seconds", "8", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert (told["equal"], told["dead"], told["amiss"]) == (True, 0, [])
    assert 0 < told["handed_off"] < told["written"]
    assert told["synced"] > 0
    assert set(told["waited"]) == {"backend killed", "network cut", "sync server killed"}
    assert min(told["waited"].values()) > 0
    assert len(set(told["digests"].values())) == 1
    assert len(told["digests"]) == 2


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_it_is_stopped(number: int) -> None:
    with subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert any("clients write" in line for line in process.stdout)
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as listed:  # noqa: PTH123
            children = [int(pid) for pid in listed.read().split()]
        process.send_signal(number)
        process.communicate()
    assert process.returncode == 130
    assert len(children) == 5
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


@pytest.fixture
async def urls(servers: EmbeddedPair) -> AsyncIterator[list[str]]:
    """Two databases with one key of a set, and one that was removed."""
    made = [next(names), next(names)]
    found = []
    for name in made:
        psql(servers.first, f"create database {name}")
        found.append(servers.first.dsn.removesuffix("postgres") + name)
        await apply(found[-1], Record(r.SADD, 2, b"k", tb=b"s", value=b"k"), Record(r.DEL, 5, b"gone"))
    yield found
    for name in made:
        psql(servers.first, f"drop database {name} with (force)")


async def apply(url: str, *records: Record) -> None:
    data = Data(url)
    await data.open()
    await data.apply([Asked(record, is_dup=True) for record in records])
    await data.close()


BOOKS = {(b"s", b"k"): Known(2, b"k", 0), (b"", b"gone"): Known(5, None, 0)}


async def test_what_is_everywhere_is_equal(urls: list[str]) -> None:
    result = Result()
    await compare(urls, BOOKS, result)
    assert (result.equal, result.amiss) == (True, [])


async def test_a_write_that_one_backend_lost_is_found(urls: list[str]) -> None:
    await apply(urls[0], Record(r.SADD, 3, b"k", tb=b"s", value=b"k"))
    result = Result()
    await compare(urls, {**BOOKS, (b"s", b"k"): Known(3, b"k", 0)}, result)
    assert not result.equal
    assert result.amiss == [
        "second differs from what was written at 1 key: 'k' in s has version 2, and version 3 was written",
        "the two backends differ",
    ]


@pytest.mark.parametrize(
    ("books", "told"),
    [
        ({**BOOKS, (b"", b"new"): Known(1, b"v", 0)}, "'new' in no table has nothing, and version 1 was written"),
        ({**BOOKS, (b"s", b"k"): Known(2, b"other", 0)}, "'k' in s has version 2, and version 2 was written"),
        ({**BOOKS, (b"", b"gone"): Known(6, None, 0)}, "'gone' in no table has version 5, and version 6 was written"),
        ({(b"s", b"k"): Known(2, b"k", 0)}, "'gone' in no table has version 5, and nothing was written"),
    ],
)
async def test_what_both_backends_lack_is_found(
    urls: list[str], books: dict[tuple[bytes, bytes], Known], told: str
) -> None:
    result = Result()
    await compare(urls, books, result)
    assert result.equal
    assert [words.partition(": ")[2] for words in result.amiss] == [told, told]


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server that says what it is told."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(100):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_a_network_is_silent_and_cut_and_works_again() -> None:
    async with echo() as port, Proxy("127.0.0.1", port) as network:
        reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        network.hold()
        writer.write(b"two")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(3), 0.2)
        network.cut()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(3)
        writer.close()
        network.release()
        reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
        writer.write(b"three")
        assert await reader.readexactly(5) == b"three"
        writer.close()


@pytest.mark.long
@pytest.mark.parametrize(
    ("zone", "ahead"), [("UTC", "<ahead>-00:03"), ("EST5", "<ahead>+04:57"), ("IST-5:30", "<ahead>-05:33")]
)
def test_a_clock_that_is_ahead_is_so_in_every_zone(monkeypatch: pytest.MonkeyPatch, zone: str, ahead: str) -> None:
    monkeypatch.setenv("TZ", zone)
    ask = "from snk.handoff.demo import stage; print(stage.clock_ahead(stage.AHEAD))"
    assert subprocess.check_output([sys.executable, "-c", ask], text=True).strip() == ahead
