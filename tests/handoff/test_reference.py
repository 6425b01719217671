"""The backend for tests: every rule by which it answers."""

import asyncio
import itertools
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from snk.handoff.asked import Asked
from snk.handoff.record import Record
from snk.handoff.reference import MOST_KEY, Backend
from snk.handoff.reference_data import ENTRY, Entry, Reply, changed
from snk.pair.servers import EmbeddedPair
from tests.conftest import PairUrls
from tests.kit.backends import Asker, asking, running

tables = (f"t{number}" for number in itertools.count())


@pytest.fixture(scope="module")
async def backend(servers: EmbeddedPair) -> AsyncIterator[Backend]:
    async with running(servers) as made:
        yield made


@pytest.fixture
async def ask(backend: Backend) -> AsyncIterator[Asker]:
    async with asking(backend.address) as client:
        yield client


@pytest.fixture
def tb() -> str:
    """A table that no other test has."""
    return next(tables)


async def value_of(backend: Backend, tb: str, key: bytes) -> Entry | None:
    """What the backend holds."""
    wanted = sa.select(ENTRY).where(ENTRY.c.tb == tb.encode(), ENTRY.c.key == key)
    async with backend._data._engine.connect() as connection:
        row = (await connection.execute(wanted)).one_or_none()
    return Entry(row.version, row.value, int(row.score), row.ttl) if row else None


PATHS = {
    "/hustdb/put?key={key}&ver=5&is_dup=true": "POST",
    "/hustdb/hset?key={key}&ver=5&tb={tb}h&is_dup=true": "POST",
    "/hustdb/sadd?ver=5&tb={tb}s&is_dup=true": "POST",
    "/hustdb/zadd?ver=5&tb={tb}z&score=1&opt=0&is_dup=true": "POST",
    "/husttb/put?key={key}&ver=5&tb={tb}t&is_dup=true": "POST",
    "/husttb/update?key={key}&ver=5&tb={tb}t&is_dup=true": "POST",
    "/hustdb/del?key={key}&ver=5&is_dup=true": "GET",
    "/hustdb/hdel?key={key}&ver=5&tb={tb}h&is_dup=true": "GET",
    "/hustdb/srem?ver=5&tb={tb}s&is_dup=true": "POST",
    "/hustdb/zrem?ver=5&tb={tb}z&is_dup=true": "POST",
    "/husttb/delete?key={key}&ver=5&tb={tb}t&is_dup=true": "GET",
}


async def test_it_says_that_it_is_alive(ask: Asker) -> None:
    answer = await ask.get("/status.html")
    assert (answer.status, answer.body) == (200, b"ok\n")


async def test_every_method_writes_and_removes(ask: Asker, tb: str) -> None:
    for path, verb in PATHS.items():
        answer = await ask.send(verb, path.format(key=tb, tb=tb), b"key" if verb == "POST" else b"", {})
        assert (path, answer.status, answer.version, answer.stale) == (path, 200, "5", False)


@pytest.mark.parametrize("path", PATHS)
async def test_the_wrong_verb_is_refused_before_anything_is_missed(ask: Asker, path: str) -> None:
    verb = "GET" if PATHS[path] == "POST" else "POST"
    assert (await ask.send(verb, path.partition("?")[0], b"", {})).status == 405
    assert (await ask.send("PUT", path.format(key="k", tb="t"), b"v", {})).status == 405


@pytest.mark.parametrize("path", PATHS)
async def test_what_is_missing_is_not_found(ask: Asker, path: str, tb: str) -> None:
    verb = PATHS[path]
    path = path.format(key=tb, tb=tb)
    start, _, query = path.partition("?")
    body = b"v" if verb == "POST" else b""
    for part in query.split("&"):
        name = part.partition("=")[0]
        if name in ("is_dup", "opt"):
            continue
        without = "&".join(each for each in query.split("&") if each != part)
        for wrong in (without, query.replace(part, f"{name}=")):
            answer = await ask.send(verb, f"{start}?{wrong}", body, {})
            assert (name, answer.status, answer.version) == (name, 404, None)
    if body:
        assert (await ask.send(verb, path, b"", {})).status == 404


async def test_numbers_are_numbers(ask: Asker, tb: str) -> None:
    for wrong in ("x", "-1", "4294967296", "1.0", "1e3"):
        answer = await ask.post(f"/hustdb/put?key={tb}&ver={wrong}&is_dup=true", b"v")
        assert (wrong, answer.status, answer.version) == (wrong, 404, None)
    assert (await ask.post(f"/hustdb/put?key={tb}&ver=4294967295&is_dup=true", b"v")).version == "4294967295"


async def test_an_unknown_path_is_not_found(ask: Asker) -> None:
    for path in ("/", "/hustdb/", "/hustdb/get?key=k", "/hustdb/PUT?key=k&ver=1&is_dup=true"):
        answer = await ask.get(path)
        assert (path, answer.status, answer.version) == (path, 404, None)


@pytest.mark.parametrize("bad", ["a-b", "a%20b", "a" * 65, "%C3%A9"])
async def test_a_bad_table_is_refused(ask: Asker, bad: str) -> None:
    target = f"/hustdb/hset?ver=1&tb={bad}&is_dup=true"
    assert (await ask.post(f"{target}&key=k", b"v")).status == 400
    assert (await ask.post(f"{target}&key=k")).status == 404, "what is missing comes first"
    assert (await ask.post(f"{target}", b"v")).status == 404


async def test_a_key_that_no_index_takes_is_refused_alone(ask: Asker, tb: str) -> None:
    long, other = "x" * (MOST_KEY + 1), "x" * MOST_KEY
    answers = await asyncio.gather(
        *(ask.post(f"/hustdb/hset?key={key}&ver=1&tb={tb}&is_dup=true", b"v") for key in (long, other))
    )
    assert [answer.status for answer in answers] == [400, 200]


async def test_a_table_has_one_type(ask: Asker, tb: str) -> None:
    assert (await ask.post(f"/hustdb/srem?ver=1&tb={tb}&is_dup=true", b"m")).status == 404, "a removal makes no table"
    assert (await ask.post(f"/hustdb/hset?key=k&ver=1&tb={tb}&is_dup=true", b"v")).status == 200
    for path in ("sadd?", "srem?", "zadd?score=1&", "zrem?"):
        answer = await ask.post(f"/hustdb/{path}ver=1&tb={tb}&is_dup=true", b"m")
        assert (path, answer.status, answer.version) == (path, 412, None)
    assert (await ask.get(f"/hustdb/hdel?key=k&ver=1&tb={tb}&is_dup=true")).status == 200
    assert (await ask.post(f"/hustdb/sadd?ver=1&tb={tb}&is_dup=true", b"m")).status == 412, "an empty one, too"


async def test_types_of_one_transaction_count(ask: Asker, tb: str) -> None:
    paths = (f"/hustdb/hset?key=k&ver=1&tb={tb}&is_dup=true", f"/hustdb/sadd?ver=1&tb={tb}&is_dup=true")
    answers = await asyncio.gather(*(ask.post(path, b"k") for path in paths))
    assert sorted(answer.status for answer in answers) == [200, 412]


async def test_versions(ask: Asker, backend: Backend, tb: str) -> None:
    async def put(version: int, value: bytes) -> tuple[int, str | None, bool, bytes | None]:
        answer = await ask.post(f"/hustdb/hset?key=k&ver={version}&tb={tb}&is_dup=true", value)
        entry = await value_of(backend, tb, b"k")
        return answer.status, answer.version, answer.stale, entry.value if entry else None

    assert await put(7, b"first") == (200, "7", False, b"first"), "an absent key takes any version"
    assert await put(9, b"higher") == (200, "9", False, b"higher")
    assert await put(9, b"equal") == (200, "9", False, b"equal")
    assert await put(8, b"lower") == (200, "9", True, b"equal")
    assert await put(0, b"unconditional") == (200, "9", False, b"unconditional")


async def test_removals(ask: Asker, backend: Backend, tb: str) -> None:
    async def remove(version: int) -> tuple[int, str | None, bool]:
        answer = await ask.get(f"/hustdb/hdel?key=k&ver={version}&tb={tb}&is_dup=true")
        return answer.status, answer.version, answer.stale

    await ask.post(f"/hustdb/hset?key=k&ver=7&tb={tb}&is_dup=true", b"v")
    assert await remove(6) == (200, "7", True)
    assert await remove(8) == (200, "8", False)
    assert await remove(8) == (404, "8", False)
    assert await remove(5) == (404, "8", True)
    assert await remove(9) == (404, "9", False)
    late = await ask.post(f"/hustdb/hset?key=k&ver=8&tb={tb}&is_dup=true", b"v")
    assert (late.status, late.version, late.stale) == (200, "9", True), "it was removed with a higher version"
    assert (await ask.post(f"/hustdb/hset?key=k&ver=10&tb={tb}&is_dup=true", b"v")).version == "10"
    entry = await value_of(backend, tb, b"k")
    assert entry == Entry(10, b"v")


async def test_a_removal_that_comes_before_what_it_removes_is_remembered(ask: Asker, tb: str) -> None:
    first = await ask.get(f"/hustdb/hdel?key=k&ver=5&tb={tb}&is_dup=true")
    late = await ask.post(f"/hustdb/hset?key=k&ver=4&tb={tb}&is_dup=true", b"v")
    assert (first.status, first.version, late.status, late.stale) == (404, "5", 200, True)


async def test_without_is_dup_the_version_is_the_next_one(ask: Asker, tb: str) -> None:
    assert (await ask.get(f"/hustdb/hdel?key=k&tb={tb}")).version == "0"
    assert (await ask.post(f"/hustdb/hset?key=k&tb={tb}", b"v")).version == "1"
    assert (await ask.post(f"/hustdb/hset?key=k&tb={tb}&ver=90", b"v")).version == "2"
    assert (await ask.get(f"/hustdb/hdel?key=k&tb={tb}&is_dup=false")).version == "3"


async def test_scores(ask: Asker, backend: Backend, tb: str) -> None:
    async def zadd(version: int, score: int, opt: int) -> int:
        await ask.post(f"/hustdb/zadd?ver={version}&tb={tb}&score={score}&opt={opt}&is_dup=true", b"m")
        entry = await value_of(backend, tb, b"m")
        assert entry is not None
        return entry.score

    assert await zadd(5, 100, 1) == 100
    assert await zadd(5, 10, 1) == 110, "an equal version adds again"
    assert await zadd(4, 10, 1) == 110
    assert await zadd(6, 2**64 - 1, 0) == 2**64 - 1
    assert await zadd(6, 3, -1) == 2, "as 64 bits do"
    assert (await ask.post(f"/hustdb/zrem?ver=7&tb={tb}&is_dup=true", b"m")).status == 200
    assert await zadd(8, 3, 1) == 3


@pytest.mark.parametrize(("ttl", "later", "status"), [(0, 10**9, 200), (100, 99, 200), (100, 100, 404)])
def test_a_key_whose_time_is_over_is_absent(ttl: int, later: int, status: int) -> None:
    write = Asked(Record(1, 5, b"k", ttl, value=b"v"), is_dup=True)
    entry, reply = changed(Entry(), write, 0)
    assert (entry, reply) == (Entry(5, b"v", ttl=ttl), Reply(200, 5))
    removed = Asked(Record(2, 5, b"k"), is_dup=True)
    assert changed(entry, removed, later) == (Entry(5), Reply(status, 5))


async def test_a_time_to_live_is_counted_from_now(ask: Asker, backend: Backend, tb: str) -> None:
    await ask.post(f"/hustdb/hset?key=k&ver=1&tb={tb}&ttl=1000000&is_dup=true", b"v")
    entry = await value_of(backend, tb, b"k")
    assert entry is not None
    assert entry.ttl > 1_700_000_000
    await ask.post(f"/hustdb/hset?key=k&ver=1&tb={tb}&ttl=4294967295&is_dup=true", b"v")
    entry = await value_of(backend, tb, b"k")
    assert entry is not None
    assert entry.ttl == 2**32 - 1


async def test_keys_and_values_are_any_bytes(ask: Asker, backend: Backend, tb: str) -> None:
    every = bytes(range(256))
    encoded = "".join(f"%{byte:02X}" for byte in every)
    await ask.post(f"/hustdb/hset?key={encoded}&ver=1&tb={tb}&is_dup=true", every)
    await ask.post(f"/hustdb/hset?key=a+b&ver=1&tb={tb}&is_dup=true", b"v")
    assert await value_of(backend, tb, every) == Entry(1, every)
    assert await value_of(backend, tb, b"a+b") == Entry(1, b"v")


async def test_requests_that_arrive_together_are_applied_in_their_order(ask: Asker, backend: Backend, tb: str) -> None:
    answers = await asyncio.gather(
        *(ask.post(f"/hustdb/zadd?ver=1&tb={tb}&score=1&opt=1&is_dup=true", b"m") for _ in range(100))
    )
    assert {answer.status for answer in answers} == {200}
    entry = await value_of(backend, tb, b"m")
    assert entry is not None
    assert entry.score == 100


async def test_requests_and_answers_are_counted(ask: Asker, backend: Backend, tb: str) -> None:
    path = "/hustdb/put"
    before, statuses = backend.requests[path], dict(backend.answers)
    await ask.post(f"{path}?key={tb}&ver=1&is_dup=true", b"v")
    await ask.get(path)
    assert backend.requests[path] == before + 2
    assert {status: backend.answers[status] - statuses.get(status, 0) for status in (200, 405)} == {200: 1, 405: 1}


async def test_the_digest_is_that_of_what_is_there(servers: EmbeddedPair) -> None:
    hset = "/hustdb/hset?key={}&ver={}&tb=t&is_dup=true"
    async with running(servers) as one, running(servers) as other, asking(one.address) as a, asking(other.address) as b:
        assert await one.digest() == await other.digest()
        await a.post(hset.format("a", 1), b"1")
        await a.post(hset.format("b", 2), b"2")
        first = await one.digest()
        assert first != await other.digest()
        await b.post(hset.format("b", 2) + "&ttl=1000000", b"2")
        await b.post(hset.format("c", 3), b"3")
        await b.post(hset.format("a", 1), b"1")
        assert first != await other.digest()
        await b.get("/hustdb/hdel?key=c&ver=4&tb=t&is_dup=true")
        assert first == await other.digest()


async def test_every_request_must_present_the_password(servers: EmbeddedPair) -> None:
    right = "Basic " + b64encode(b"user:secret").decode()
    async with running(servers, "user:secret") as backend, asking(backend.address) as ask:
        assert (await ask.get("/status.html")).status == 200
        for path in ("/hustdb/put?key=k&ver=1&is_dup=true", "/hustdb/put", "/elsewhere"):
            for wrong in ({}, {"Authorization": "Basic x"}, {"Authorization": right + "="}):
                assert (await ask.post(path, b"v", **wrong)).status == 401
        assert (await ask.post("/hustdb/put?key=k&ver=1&is_dup=true", b"v", Authorization=right)).status == 200


async def test_a_database_that_fails_is_an_answer_and_passes(own_pair: PairUrls, own_servers: EmbeddedPair) -> None:
    backend = Backend(own_pair.first)
    await backend.start()
    async with asking(backend.address) as ask:
        target = "/hustdb/hset?key=k&ver=1&tb=t&is_dup=true"
        assert (await ask.post(target, b"v")).status == 200
        own_servers.first.stop()
        assert (await ask.post(target, b"v")).status == 503
        own_servers.first.start()
        assert (await ask.post(target.replace("hset", "sadd"), b"v")).status in (412, 503)
        assert (await ask.post(target.replace("ver=1", "ver=2"), b"v")).version == "2"
    await backend.stop()


@pytest.mark.long
async def test_it_runs_as_a_process_and_keeps_what_it_answered(own_pair: PairUrls, tmp_path: Path) -> None:
    (tmp_path / "auth").write_text("user:secret\n")
    words = [sys.executable, "-m", "snk.handoff.reference", "--database", own_pair.first]
    right = "Basic " + b64encode(b"user:secret").decode()
    for round_ in range(2):
        process = subprocess.Popen([*words, "--auth-file", tmp_path / "auth"], stderr=subprocess.PIPE, text=True)
        assert process.stderr
        line = process.stderr.readline()
        async with asking(line.split("address=")[1].split()[0]) as ask:
            answer = await ask.post("/hustdb/put?key=k", b"v", Authorization=right)
            assert (answer.status, answer.version) == (200, str(round_ + 1))
        process.send_signal((signal.SIGKILL, signal.SIGTERM)[round_])
        assert process.wait() == (-signal.SIGKILL, 0)[round_]
        process.stderr.close()
