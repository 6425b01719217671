"""Frames and digests: half-open, of one snapshot, provable, and visibly broken if they break off."""

import asyncio
import gzip
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from bench.usage import peak_mib
from snk.core.canonical import Digest
from tests.kit.databases import Database, until
from tests.kit.serve import ServeProcess, prepared
from tests.serve.test_pages import ROWS, problem

WIDE = (
    "insert into records select 'r' || lpad(i::text, 7, '0'), '2026-11-25'::timestamptz + i * interval '1 ms', i"
    " from generate_series(0, {0} - 1) i"
)


def parsed(text: str) -> tuple[list[Any], dict[str, Any]]:
    """The records of a frame, and its end."""
    *lines, last = [json.loads(line, parse_float=Decimal) for line in text.splitlines()]
    assert last.keys() == {"$end"}
    return lines, last["$end"]


async def frame(client: aiohttp.ClientSession, minute: str) -> tuple[list[Any], dict[str, Any]]:
    """A frame."""
    async with client.get(f"/v1/records/frames/{minute}") as answer:
        assert answer.status == 200, await answer.text()
        return parsed(await answer.text())


async def test_a_frame_is_half_open_and_has_count_and_digest(client: aiohttp.ClientSession, records: Database) -> None:
    await records.run(ROWS.format(200))
    lines, end = await frame(client, "2026-11-25T00:01Z")
    assert [record["value"] for record in lines] == list(range(60, 120))
    bounds = {"from": "2026-11-25T00:01:00Z", "to": "2026-11-25T00:02:00Z"}
    assert end == {**bounds, "count": 60, "digest": Digest.of(lines).hex}


async def test_an_empty_frame_has_an_end(client: aiohttp.ClientSession) -> None:
    assert (await frame(client, "2026-11-25T00:00Z"))[1]["count"] == 0


async def test_a_frame_may_have_another_length(client: aiohttp.ClientSession, records: Database) -> None:
    await records.run(ROWS.format(20))
    lines, _ = await frame(client, "2026-11-25T00:00:05Z?seconds=3")
    assert [record["value"] for record in lines] == [5, 6, 7]
    lines, end = await frame(client, "2026-11-25T01:00+01:00")
    assert (len(lines), end["from"]) == (20, "2026-11-25T00:00:00Z")


@pytest.mark.parametrize(
    ("minute", "field"),
    [
        ("2026-11-25", "minute"),
        ("2026-11-25T00:00", "minute"),
        ("2026-11-25T24:61Z", "minute"),
        ("2026-11-25T00:00Z?seconds=0", "seconds"),
        ("2026-11-25T00:00Z?minutes=1", "minutes"),
        ("9999-12-31T23:59Z", "seconds"),
    ],
)
async def test_what_is_no_frame_is_refused(client: aiohttp.ClientSession, minute: str, field: str) -> None:
    async with client.get(f"/v1/records/frames/{minute}") as answer:
        assert await problem(answer) == (422, "invalid-request", field)


async def test_the_digest_is_that_of_the_frames(client: aiohttp.ClientSession, records: Database) -> None:
    await records.run(ROWS.format(150))
    digest = Digest()
    for minute in ("00:00", "00:01", "00:02"):
        digest.merge(Digest.of((await frame(client, f"2026-11-25T{minute}Z"))[0]))
    span = "from=2026-11-25T00:00:00Z&to=2026-11-25T00:03:00Z"
    async with client.get(f"/v1/records/digest?{span}") as answer:
        told = await answer.json()
        tag = answer.headers["ETag"]
    assert (told["count"], told["digest"]) == (150, digest.hex)
    async with client.get(f"/v1/records/digest?{span}", headers={"If-None-Match": tag}) as answer:
        assert answer.status == 304


async def test_a_digest_may_be_of_some_columns(client: aiohttp.ClientSession, records: Database) -> None:
    await records.run(ROWS.format(5))
    span = "from=2026-11-25T00:00:00Z&to=2026-11-26T00:00:00Z"
    async with client.get(f"/v1/records/digest?{span}&columns=value,uid") as answer:
        told = await answer.json()
    assert told["digest"] == Digest.of({"uid": f"r{i:05}", "value": i} for i in range(1, 6)).hex
    for columns in ("other", "uid,uid", ""):
        async with client.get(f"/v1/records/digest?{span}&columns={columns}") as answer:
            assert await problem(answer) == (422, "invalid-request", "columns")
    async with client.get("/v1/records/digest?from=2026-11-25T00:00:00Z") as answer:
        assert await problem(answer) == (422, "invalid-request", "to")


async def test_a_digest_may_be_of_very_many_columns(dsn: str) -> None:
    names = [f"c{number}" for number in range(120)]
    database = await prepared(
        dsn,
        "create table wide (uid text primary key, created_at timestamptz not null,"
        f" {', '.join(f'{name} integer' for name in names)})",
        f"insert into wide select 'a', '2026-11-25T00:00:30Z', {', '.join(['7'] * len(names))}",
    )
    read = ["uid", "created_at", *names]
    given = {"table": "public.wide", "key": "uid", "time": "created_at", "read": read}
    record = {"uid": "a", "created_at": "2026-11-25T00:00:30.000000Z", **dict.fromkeys(names, 7)}
    with ServeProcess(database.dsn, {"wide": given}) as process:
        await process.until_answering()
        async with aiohttp.ClientSession(process.url) as client:
            span = {"from": "2026-11-25T00:00:00Z", "to": "2026-11-25T00:01:00Z"}
            async with client.get("/v1/wide/digest", params=span) as answer:
                assert answer.status == 200, await answer.text()
                found = await answer.json()
    assert (found["count"], found["digest"]) == (1, Digest.of([record]).hex)


async def test_a_frame_shows_one_moment(client: aiohttp.ClientSession, records: Database) -> None:
    """Rows come in pairs; a frame that was read while they came has whole pairs only."""
    stop = asyncio.Event()

    async def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            at = "'2026-11-25T00:00:30Z'"
            await records.run(
                f"insert into records values ('a{number}', {at}, 1), ('z{number}', {at}, -1)",
            )

    writing = asyncio.create_task(write())
    try:
        counts = []
        for _ in range(30):
            lines, end = await frame(client, "2026-11-25T00:00Z")
            assert sum(record["value"] for record in lines) == 0
            assert end["digest"] == Digest.of(lines).hex
            counts.append(end["count"])
    finally:
        stop.set()
        await writing
    assert counts[-1] > counts[0]


@pytest.mark.long
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_large_frame_is_streamed_and_tagged(service: ServeProcess, records: Database, encoding: str) -> None:
    await records.run(WIDE.format(30_000))
    async with aiohttp.ClientSession(service.url, auto_decompress=False) as client:
        path = "/v1/records/frames/2026-11-25T00:00Z"
        async with client.get(path, headers={"Accept-Encoding": encoding}) as answer:
            body, tag = await answer.read(), answer.headers["ETag"]
            assert "Content-Length" not in answer.headers
            assert answer.headers.get("Content-Encoding", "identity") == encoding
        lines, end = parsed((gzip.decompress(body) if encoding == "gzip" else body).decode())
        assert (len(lines), end["count"], end["digest"]) == (30_000, 30_000, Digest.of(lines).hex)
        async with client.get(path, headers={"If-None-Match": tag}) as answer:
            assert answer.status == 304
        await records.run("update records set value = -1 where uid = 'r0029999'")
        async with client.get(path, headers={"If-None-Match": tag}) as answer:
            assert answer.status == 200


async def test_a_frame_that_breaks_off_is_seen_to_be_broken(service: ServeProcess, records: Database) -> None:
    """Also if it is compressed: what is missing is the end of the chunks."""
    await records.run(WIDE.format(60_000))
    async with aiohttp.ClientSession(service.url) as client:
        for encoding in ("identity", "gzip"):
            headers = {"Accept-Encoding": encoding}
            async with client.get("/v1/records/frames/2026-11-25T00:00Z", headers=headers) as answer:
                assert answer.status == 200
                await answer.content.readany()
                await records.run(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'snk serve' and datname = current_database()"
                )
                with pytest.raises(aiohttp.ClientPayloadError):
                    await answer.read()
        assert "answer_broke_off" in service.log
        assert (await frame(client, "2026-11-25T00:01Z"))[1]["count"] == 0


@pytest.mark.long
async def test_a_client_that_leaves_gives_its_connection_back(records: Database) -> None:
    await records.run(WIDE.format(60_000))
    with ServeProcess(records.dsn, connections=1) as service:
        await service.until_answering()
        for _ in range(3):
            path = "/v1/records/frames/2026-11-25T00:00Z"
            async with aiohttp.ClientSession(service.url) as client, client.get(path) as answer:
                await answer.content.readany()
                answer.close()
        async with aiohttp.ClientSession(service.url) as client:

            async def free() -> bool:
                async with client.get("/v1/records?limit=1") as answer:
                    return answer.status == 200

            await until(free, "the only connection to be free")
            async with client.get("/status") as answer:
                assert (await answer.json())["aborted"] == 3  # nothing was read for those who left


@pytest.mark.parametrize(
    "rows", [pytest.param(200_000, marks=pytest.mark.long), pytest.param(1_000_000, marks=pytest.mark.full)]
)
async def test_memory_is_flat_for_very_many_rows(service: ServeProcess, records: Database, rows: int) -> None:
    await records.run(WIDE.format(rows))
    async with aiohttp.ClientSession(service.url) as client:
        size = 0
        async with client.get("/v1/records/frames/2026-11-25T00:00Z?seconds=1000") as answer:
            async for chunk in answer.content.iter_any():
                size += len(chunk)
                last = chunk
    assert f'"count": {rows}'.encode() in last
    assert size > 60 * rows
    assert peak_mib([service.pid]) < 200


@pytest.mark.long
@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", "2026-03-29"),
        ("Europe/Berlin", "2026-10-25"),
        ("America/New_York", "2026-03-08"),
        ("America/New_York", "2026-11-01"),
        ("Australia/Lord_Howe", "2026-04-05"),
        ("Pacific/Apia", "2011-12-30"),
    ],
)
async def test_every_local_time_is_in_one_frame_when_clocks_change(dsn: str, zone: str, day: str) -> None:
    """The frames of three days have each record once, those of hours that were skipped or doubled as well."""
    database = await prepared(
        dsn,
        "create table records (uid integer primary key, created_at timestamp not null)",
        "create index on records (created_at)",
        "insert into records select i, date '" + day + "' - interval '1 day' + i * interval '5 min'"
        " from generate_series(0, 3 * 288 - 1) i",
    )
    dataset = {"table": "records", "key": "uid", "time": "created_at", "time_zone": zone, "read": ["uid"]}
    begin = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(days=2)
    seen: list[int] = []
    with ServeProcess(dsn, {"records": dataset}) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client:
            for hour in range(5 * 24):
                at = begin + timedelta(hours=hour)
                lines, _ = await frame(client, f"{at:%Y-%m-%dT%H:%MZ}?seconds=3600")
                inside = await database.rows(
                    f"select uid from records where created_at at time zone '{zone}' >= '{at:%Y-%m-%d %H:%M}+00'"
                    f" and created_at at time zone '{zone}' < '{at + timedelta(hours=1):%Y-%m-%d %H:%M}+00' order by 1"
                )
                assert [record["uid"] for record in lines] == [uid for (uid,) in inside]
                seen += [record["uid"] for record in lines]
    assert sorted(seen) == list(range(3 * 288))


@pytest.mark.long
async def test_a_frame_of_local_time_is_found_by_the_index(dsn: str) -> None:
    database = await prepared(
        dsn,
        "create table records (uid integer primary key, created_at timestamp not null)",
        "create index on records (created_at)",
        "insert into records select i, timestamp '2026-01-01' + i * interval '1 min' from generate_series(1, 100000) i",
    )
    async with database.connect() as connection:
        await connection.exec_driver_sql("analyze records")
        await connection.commit()
    dataset = {"table": "records", "key": "uid", "time": "created_at", "time_zone": "Europe/Berlin"}
    with ServeProcess(dsn, {"records": dataset}) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client:
            lines, _ = await frame(client, "2026-02-01T12:00Z")

            service.stop()  # its sessions report their statistics when they end

            async def looked_at() -> bool:
                return bool(
                    await database.value("select idx_scan from pg_stat_user_indexes where indexrelname ~ 'created'")
                )

            await until(looked_at, "the statistics of the index")
    assert [record["created_at"] for record in lines] == ["2026-02-01T13:00:00.000000"]
