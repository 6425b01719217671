"""Pages: every record once, in the order of keys, whatever happens meanwhile."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.kit.databases import Database
from tests.kit.serve import ServeProcess, prepared

ROWS = (
    "insert into records select 'r' || lpad(i::text, 5, '0'), '2026-11-25'::timestamptz + i * interval '1 s', i"
    " from generate_series(1, {0}) i"
)


async def walk(client: aiohttp.ClientSession, url: str) -> AsyncIterator[list[dict[str, Any]]]:
    """Every page, as the Link header leads to it."""
    following: str | None = url
    while following:
        async with client.get(following) as answer:
            assert answer.status == 200, await answer.text()
            yield (await answer.json())["items"]
            link = answer.links.get("next")
            following = str(URL(link["url"]).relative()) if link else None


async def problem(answer: aiohttp.ClientResponse) -> tuple[int, str, Any]:
    """Status, kind and field of a refusal."""
    assert answer.content_type == "application/problem+json", await answer.text()
    told = await answer.json()
    assert told["status"] == answer.status
    return answer.status, told["type"].removeprefix("urn:snk:problem:"), told.get("field")


async def test_a_walk_finds_every_record_once_and_in_order(client: aiohttp.ClientSession, records: Database) -> None:
    await records.run(ROWS.format(2500))
    pages = [page async for page in walk(client, "/v1/records?limit=1000")]
    assert [len(page) for page in pages] == [1000, 1000, 500]
    assert [record["value"] for page in pages for record in page] == list(range(1, 2501))


async def test_the_last_page_has_no_next_one_even_if_it_is_full(
    client: aiohttp.ClientSession, records: Database
) -> None:
    await records.run(ROWS.format(4))
    pages = [page async for page in walk(client, "/v1/records?limit=2")]
    assert [len(page) for page in pages] == [2, 2]
    async with client.get("/v1/records?after=r00004") as answer:
        assert (await answer.json()) == {"items": [], "next": None}
        assert "Link" not in answer.headers


async def test_a_page_walk_is_stable_while_rows_are_inserted_and_deleted(
    client: aiohttp.ClientSession, records: Database
) -> None:
    await records.run(ROWS.format(3000))
    seen: list[str] = []
    at = 0
    async for page in walk(client, "/v1/records?limit=200"):
        seen += [record["uid"] for record in page]
        at += 1
        before, after = f"a{at:03}", f"r{at * 37:05}x"
        await records.run(
            f"insert into records values ('{before}', now(), 0), ('{after}', now(), 0)",
            f"delete from records where value % 10 = 5 and value % 15 = {at}",
        )
    stayed = [uid for (uid,) in await records.rows("select uid from records where uid ~ '^r[0-9]{5}$'")]
    assert len(stayed) > 2500
    assert len(set(seen)) == len(seen)
    assert set(stayed) <= set(seen)


async def test_pages_follow_the_order_of_the_database_and_not_of_texts(dsn: str) -> None:
    await prepared(
        dsn, "create table sizes (id numeric primary key)", "insert into sizes select generate_series(-3, 12)"
    )
    with ServeProcess(dsn, {"sizes": {"table": "sizes", "key": "id"}}) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client:
            seen = [page[0]["id"] async for page in walk(client, "/v1/sizes?limit=1")]
    assert seen == list(range(-3, 13))


async def test_keys_may_have_any_characters(client: aiohttp.ClientSession, records: Database) -> None:
    keys = ["%", "&a=b", "a b", "a+b", "ä", "\u2028", "'", '"', "\\", "#", "?", "/", "\n", "😀"]
    literals = ", ".join("E'" + key.replace("\\", "\\\\").replace("'", "''") + "'" for key in keys)
    await records.run(f"insert into records select unnest(array[{literals}]), now(), 1")
    seen = [page[0]["uid"] async for page in walk(client, "/v1/records?limit=1")]
    assert sorted(seen) == sorted(keys)


async def test_from_and_to_are_half_open(client: aiohttp.ClientSession, records: Database) -> None:
    await records.run(ROWS.format(10))
    query = "from=2026-11-25T00:00:03Z&to=2026-11-25T01:00:05%2B01:00"
    pages = [page async for page in walk(client, f"/v1/records?limit=1&{query}")]
    assert [record["value"] for page in pages for record in page] == [3, 4]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("offset=3", "offset"),
        ("from=2026-11-25T00:00:00", "from"),
        ("from=2026-11-25T00:00:00+01:00", "from"),
        ("to=2026-13-25T00:00:00Z", "to"),
        ("from=2026-11-25T00:00:00Z&to=2026-11-24T00:00:00Z", "to"),
        ("from=0001-01-01T00:00:00%2B05:00", "from"),
    ],
)
async def test_a_parameter_that_means_nothing_is_refused(client: aiohttp.ClientSession, query: str, field: str) -> None:
    async with client.get(f"/v1/records?{query}") as answer:
        assert await problem(answer) == (422, "invalid-request", field)


@pytest.mark.parametrize("path", ["/v1/other", "/v1", "/v1/records/", "/v1/pg_class", "/v1/records/frames", "/"])
async def test_nothing_but_named_datasets_is_there(client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(path) as answer:
        assert (await problem(answer))[:2] == (404, "not-found")


async def test_another_method_is_refused(client: aiohttp.ClientSession) -> None:
    async with client.delete("/v1/records") as answer:
        assert (await problem(answer))[:2] == (405, "wrong-method")
        assert "GET" in answer.headers["Allow"] or "POST" in answer.headers["Allow"]


async def test_a_client_that_has_the_page_is_told_so(client: aiohttp.ClientSession, records: Database) -> None:
    await records.run(ROWS.format(100))
    async with client.get("/v1/records", headers={"Accept-Encoding": "identity"}) as plain:
        tag = plain.headers["ETag"]
    async with client.get("/v1/records", headers={"Accept-Encoding": "gzip"}) as packed:
        assert packed.headers["ETag"] not in (tag, f"W/{tag}")
        assert packed.headers["Content-Encoding"] == "gzip"
    for known in (tag, packed.headers["ETag"], f'"x", {tag}', "*"):
        async with client.get("/v1/records", headers={"If-None-Match": known}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
    await records.run("update records set value = 0 where value = 50")
    async with client.get("/v1/records", headers={"If-None-Match": tag}) as answer:
        assert answer.status == 200


async def test_gzip_is_for_those_who_want_it(service: ServeProcess, records: Database) -> None:
    await records.run(ROWS.format(1000))
    async with aiohttp.ClientSession(service.url, auto_decompress=False) as client:
        bodies = {}
        for wanted in ("gzip", "identity", "gzip;q=0", "br, *;q=0.1", "gzip;q=0, *"):
            async with client.get("/v1/records", headers={"Accept-Encoding": wanted}) as answer:
                bodies[wanted] = await answer.read()
    assert gzip.decompress(bodies["gzip"]) == bodies["identity"] == bodies["gzip;q=0"] == bodies["gzip;q=0, *"]
    assert gzip.decompress(bodies["br, *;q=0.1"]) == bodies["identity"]
    assert len(bodies["gzip"]) < len(bodies["identity"]) / 4


async def test_every_answer_has_a_date(client: aiohttp.ClientSession) -> None:
    for path in ("/v1/records", "/v1/other", "/health", "/v1/records?x=1"):
        async with client.get(path) as answer:
            assert "Date" in answer.headers


async def test_load_balancers_may_ask_for_the_health_without_its_body(client: aiohttp.ClientSession) -> None:
    async with client.head("/health") as answer:
        assert (answer.status, await answer.read()) == (200, b"")


async def test_values_are_written_as_the_documentation_says(dsn: str) -> None:
    columns = {
        "at": ("timestamptz", "2026-11-25 01:02:03.5+01", "2026-11-25T00:02:03.500000Z"),
        "far": ("timestamptz", "infinity", "infinity"),
        "old": ("timestamptz", "0044-03-15 00:00:00+00 BC", "0044-03-15 00:00:00+00 BC"),
        "local": ("timestamp", "2026-11-25 01:02:03", "2026-11-25T01:02:03.000000"),
        "exact": ("numeric", "12345678901234567890.50", 12345678901234567890.5),
        "big": ("bigint", "9223372036854775807", 2**63 - 1),
        "real": ("float8", "0.1", 0.1),
        "none": ("float8", "NaN", "NaN"),
        "endless": ("float4", "-Infinity", "-Infinity"),
        "bytes": ("bytea", "\\x00ff", "\\x00ff"),
        "yes": ("boolean", "t", True),
        "doc": ("json", '{"a":\n [1,\r 2.50]}', {"a": [1, 2.5]}),
        "docb": ("jsonb", '{"a": "line\\nbreak"}', {"a": "line\nbreak"}),
        "many": ("integer[]", "{1,null,3}", [1, None, 3]),
        "span": ("interval", "1 day 02:00", "1 day 02:00:00"),
        "place": ("point", "(1,2)", "(1,2)"),
        "net": ("cidr", "10.0.0.0/8", "10.0.0.0/8"),
        "odd name": ("text", 'quo"te\u2028', 'quo"te\u2028'),
        "empty": ("text", None, None),
    }
    declared = ", ".join(f'"{name}" {kind}' for name, (kind, _, _) in columns.items())
    values = ", ".join(
        "null" if text is None else "'" + text.replace("'", "''") + "'" for _, text, _ in columns.values()
    )
    await prepared(
        dsn, f"create table kinds (id integer primary key, {declared})", f"insert into kinds values (1, {values})"
    )
    dataset = {"table": "kinds", "key": "id", "time": "at", "read": ["id", *columns]}
    with ServeProcess(dsn, {"kinds": dataset}) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client:
            async with client.get("/v1/kinds") as answer:
                (found,) = (await answer.json())["items"]
            async with client.get("/v1/kinds/frames/2026-11-25T00:02Z") as answer:
                lines = (await answer.text()).strip().split("\n")
    assert found == {"id": 1, **{name: value for name, (_, _, value) in columns.items()}}
    assert json.loads(lines[0]) == found
    assert len(lines) == 2


async def test_a_view_is_served_with_the_columns_that_may_be_read(dsn: str) -> None:
    await prepared(
        dsn,
        "create table secrets (id integer primary key, name text, password text)",
        "insert into secrets values (1, 'one', 'hidden')",
        "create view shown as select id, name, password from secrets",
    )
    with ServeProcess(dsn, {"shown": {"table": "shown", "key": "id", "read": ["name"]}}) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client:
            async with client.get("/v1/shown") as answer:
                assert (await answer.json())["items"] == [{"id": 1, "name": "one"}]
            async with client.get("/openapi.json") as answer:
                assert "password" not in await answer.text()
            for path in ("/v1/shown/frames/2026-11-25T00:00Z", "/v1/shown/digest", "/v1/shown/batch"):
                async with client.get(path) as answer:
                    assert answer.status == 404
            async with client.post("/v1/shown", json={"id": 2}) as answer:
                assert answer.status == 405
            async with client.get("/v1/shown?from=2026-11-25T00:00:00Z") as answer:
                assert answer.status == 422


async def test_a_key_that_is_none_of_its_type_is_refused(dsn: str) -> None:
    await prepared(dsn, "create table things (id uuid primary key)")
    with ServeProcess(dsn, {"things": {"table": "things", "key": "id"}}) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client, client.get("/v1/things?after=nonsense") as answer:
            assert await problem(answer) == (422, "invalid-request", "after")


@pytest.mark.long
async def test_readers_share_the_pool(dsn: str) -> None:
    records = await prepared(dsn)
    await records.run(ROWS.format(500))
    with ServeProcess(dsn, wait_ms=60_000) as service:  # longer than a busy machine takes
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client:

            async def read() -> int:
                return sum([len(page) async for page in walk(client, "/v1/records?limit=50")])

            assert await asyncio.gather(*(read() for _ in range(30))) == [500] * 30
