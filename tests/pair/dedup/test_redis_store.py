"""Redis behind the set: a restarted daemon knows its rows again; whatever Redis does, nothing false is believed."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from snk.pair.dedup import redis_store as redis_store_module
from snk.pair.dedup.dedup_set import DedupSet
from snk.pair.dedup.redis_store import NOT_ASKED, RedisStore
from tests.kit.databases import DEADLINE_SECONDS, until

A, B, C = (str(uuid4()) for _ in range(3))


async def everything(uuids: Sequence[str]) -> frozenset[str]:
    """A database that holds whatever it is asked for."""
    return frozenset(uuids)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows do not wait for Redis as long as a busy machine may take; these tests do."""
    monkeypatch.setattr(redis_store_module, "RESTORE_SECONDS", DEADLINE_SECONDS)


def attached(dsn: str, boot: str = "boot") -> tuple[RedisStore, DedupSet]:
    behind, known = RedisStore(dsn), DedupSet(1000)
    behind.attach("records", known)
    known.anchor(boot)
    return behind, known


async def written(pair: Any, *uuids: str, boot: str = "boot") -> None:
    """An earlier daemon that noted these and ended."""
    behind, known = attached(pair.redis, boot)
    async with behind:
        known.note(list(uuids), boot)


async def test_a_restarted_daemon_knows_its_rows_again(pair: Any) -> None:
    await written(pair, A, B)
    behind, known = attached(pair.redis)
    async with behind:
        assert await behind.restore("records", everything) == 2
        assert known.take([A, B, C]) == [False, False, True]


async def test_notes_of_an_earlier_start_of_the_server_are_not_read(pair: Any) -> None:
    await written(pair, A)
    behind, _ = attached(pair.redis, boot="a later one")
    async with behind:
        assert await behind.restore("records", everything) == 0


async def test_only_rows_that_the_database_holds_are_believed(pair: Any) -> None:
    """Redis may lie; the rows it speaks of are looked up."""

    async def only_a(uuids: Sequence[str]) -> frozenset[str]:
        return frozenset({A}) & frozenset(uuids)

    await written(pair, A, B)
    behind, known = attached(pair.redis)
    async with behind:
        assert await behind.restore("records", only_a) == 1
        assert known.take([A, B]) == [False, True]


async def test_a_database_that_looks_up_slowly_is_not_asked_without_end(
    pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store_module, "RESTORE_SECONDS", 0.2)
    monkeypatch.setattr(redis_store_module, "LOOKED_UP", 1)
    await written(pair, *(str(uuid4()) for _ in range(1000)))
    asked: list[str] = []

    async def slowly(uuids: Sequence[str]) -> frozenset[str]:
        asked.extend(uuids)
        await asyncio.sleep(0.05)
        return frozenset(uuids)

    behind, known = attached(pair.redis)
    async with behind:
        assert await behind.restore("records", slowly) == len(asked) == len(known)
        assert len(asked) < 10
        assert behind.error == NOT_ASKED, "Redis is not to blame"


async def test_no_more_is_taken_up_than_is_kept(pair: Any) -> None:
    async with Redis.from_url(pair.redis) as redis:
        await written(pair, A)
        (key,) = await redis.keys("snk:known:*")
        for number in range(100):
            await redis.hset(key, str(number), b"".join(uuid4().bytes for _ in range(100)))
    asked: list[int] = []

    async def counted(uuids: Sequence[str]) -> frozenset[str]:
        asked.append(len(uuids))
        return frozenset(uuids)

    behind, known = attached(pair.redis)
    async with behind:
        await behind.restore("records", counted)
    assert 1000 <= sum(asked) <= 1100
    assert len(known) <= 1100


async def test_what_redis_remembers_is_read_a_little_at_a_time(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await written(pair, A)
    async with Redis.from_url(pair.redis) as redis:
        (key,) = await redis.keys("snk:known:*")
        for number in range(1000):
            await redis.hset(key, str(number), b"".join(uuid4().bytes for _ in range(10)))
    answers: list[int] = []
    readable = redis_store_module._readable

    def counted(fields: Any) -> list[list[str]]:
        answers.append(len(fields))
        return readable(fields)

    monkeypatch.setattr(redis_store_module, "_readable", counted)
    behind, _ = attached(pair.redis)
    async with behind:
        assert await behind.restore("records", everything) >= 1000
    assert max(answers) < 100


async def test_junk_under_our_key_is_passed_over(pair: Any) -> None:
    await written(pair, A)
    async with Redis.from_url(pair.redis) as redis:
        (key,) = [key async for key in redis.scan_iter("snk:known:*")]
        await redis.hset(key, mapping={"x": b"junk", "99": b"short"})
    behind, _ = attached(pair.redis)
    async with behind:
        assert await behind.restore("records", everything) == 1


async def test_a_key_of_another_type_is_replaced(pair: Any) -> None:
    await written(pair, A)
    async with Redis.from_url(pair.redis) as redis:
        (key,) = [key async for key in redis.scan_iter("snk:known:*")]
        await redis.delete(key)
        await redis.set(key, "a string")
        behind, known = attached(pair.redis)
        async with behind:
            assert await behind.restore("records", everything) == 0
            assert behind.error not in ("", NOT_ASKED)
            known.note([B], "boot")
        assert await redis.hlen(key) == 1


async def test_what_was_met_is_forgotten_behind(pair: Any) -> None:
    behind, known = attached(pair.redis)
    async with Redis.from_url(pair.redis) as redis, behind:
        writing = asyncio.create_task(behind.run())
        known.note([A], "boot")
        await until(lambda: redis.keys("snk:known:*"), "the note in Redis")
        known.take([A])

        async def gone() -> bool:
            return not await redis.keys("snk:known:*")

        await until(gone, "the note forgotten in Redis")
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing


async def test_redis_that_is_away_is_told_of_once_and_believed_when_back(own_servers: Any) -> None:
    own_servers.redis.stop()
    behind, known = attached(own_servers.redis.dsn)
    async with behind:
        known.note([A], "boot")
        writing = asyncio.create_task(behind.run())

        async def lost() -> bool:
            return behind.error not in ("", NOT_ASKED)

        async def found() -> bool:
            return not behind.error

        await until(lost, "that Redis is away")
        own_servers.redis.start()
        await until(found, "that Redis is back")
        async with Redis.from_url(own_servers.redis.dsn) as redis:
            assert await redis.keys("snk:known:*"), "what was noted meanwhile is written when Redis is back"
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing


async def test_writing_behind_ends_when_closed_though_a_cancellation_gets_lost(
    pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-py waits by asyncio.wait_for, which before Python 3.12 forgets a cancellation now and then."""
    monkeypatch.setattr(redis_store_module, "FLUSH_SECONDS", 0.0)
    for turns in range(5):
        behind, known = attached(pair.redis)
        async with behind:
            task = asyncio.create_task(behind.run())
            known.note([str(uuid4())], "boot")
            while known.added:
                await asyncio.sleep(0)
            known.note([str(uuid4())], "boot")
            for _ in range(turns):
                await asyncio.sleep(0)
            behind.close()
            task.cancel()
            await asyncio.wait((task,), timeout=DEADLINE_SECONDS)
            assert task.done()


async def test_a_table_may_be_let_go_while_others_are_written(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    behind, known = attached(pair.redis)
    behind.attach("other", other := DedupSet(1000))
    other.anchor("boot")
    flush = behind._flush

    async def let_go(name: str, known: DedupSet) -> None:
        await flush(name, known)
        behind.detach("other" if name == "records" else "records")

    monkeypatch.setattr(behind, "_flush", let_go)

    async def one_left() -> bool:
        return len(behind._sets) == 1

    async with behind:
        running = asyncio.create_task(behind.run())
        known.note([A], "boot")
        other.note([B], "boot")
        await until(one_left, "one of both to be let go")
        behind.close()
        await running
