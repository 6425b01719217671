"""What is stored, what is refused and why, and what an Idempotency-Key does."""

import itertools
import json
from typing import Any

import aiohttp
import pytest

from tests.kit.databases import Database, until
from tests.kit.serve import ServeProcess, prepared

keys = (f"key-{number}" for number in itertools.count())
Answer = tuple[int, dict[str, Any]]


def record(uid: Any = "one", value: Any = 1, **more: Any) -> dict[str, Any]:
    """A record."""
    return {"uid": uid, "created_at": "2026-11-25T00:00:00Z", "value": value} | more


async def post(client: aiohttp.ClientSession, body: Any, key: str | None = None, path: str = "/v1/records") -> Answer:
    """Store something; the answer and its status."""
    headers = {"Idempotency-Key": key or next(keys)}
    async with client.post(path, json=body, headers=headers) as answer:
        assert answer.content_type == ("application/json" if answer.ok else "application/problem+json")
        return answer.status, await answer.json()


async def batch(client: aiohttp.ClientSession, items: list[Any], key: str | None = None) -> Answer:
    """Store many."""
    return await post(client, {"items": items}, key, "/v1/records/batch")


def kind(answer: Answer) -> tuple[int, str, Any]:
    """Status, kind and field of a refusal."""
    return answer[0], answer[1]["type"].removeprefix("urn:snk:problem:"), answer[1].get("field")


async def test_a_record_is_stored(client: aiohttp.ClientSession, records: Database) -> None:
    assert await post(client, record()) == (201, {"key": "one"})
    assert await records.rows("select uid, created_at::text, value from records") == [
        ("one", "2026-11-25 00:00:00+00", 1)
    ]


async def test_a_batch_is_stored_or_not_as_a_whole(client: aiohttp.ClientSession, records: Database) -> None:
    assert await batch(client, [record(str(i)) for i in range(500)]) == (201, {"stored": 500})
    status, told = await batch(client, [*(record(f"n{i}") for i in range(300)), record("n7x", "text"), record("n8x")])
    assert (status, told["field"], told["index"]) == (422, "value", 300)
    status, told = await batch(client, [*(record(f"n{i}") for i in range(300)), record("7"), record("n8x")])
    assert (status, told["type"], told["index"]) == (409, "urn:snk:problem:conflict", 300)
    status, told = await batch(client, [*(record(f"n{i}") for i in range(3)), record("x", created_at="nonsense")])
    assert (status, told["field"], told["index"]) == (422, "created_at", 3)
    assert await records.value("select count(*) from records") == 500


async def test_records_of_a_batch_may_have_different_columns(client: aiohttp.ClientSession, records: Database) -> None:
    items = [record("a"), {"uid": "b", "created_at": "2026-11-25T00:00:00Z"}, record("c", None)]
    assert (await batch(client, items))[0] == 201
    assert await records.rows("select uid, value from records order by uid") == [("a", 1), ("b", None), ("c", None)]


@pytest.mark.long
async def test_columns_that_are_not_sent_get_their_defaults(dsn: str) -> None:
    database = await prepared(
        dsn, "create table items (id integer generated always as identity primary key, name text default 'none', n int)"
    )
    dataset = {"table": "items", "key": "id", "write": ["name", "n"]}
    with ServeProcess(dsn, {"items": dataset}) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client:
            assert await post(client, {"n": 5}, path="/v1/items") == (201, {"key": 1})
            assert await post(client, {"n": 6, "name": None}, path="/v1/items") == (201, {"key": 2})
            assert kind(await post(client, {"id": 9}, path="/v1/items")) == (422, "refused-record", "id")
    assert await database.rows("select * from items order by id") == [(1, "none", 5), (2, None, 6)]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, None),
        ([], None),
        ("text", None),
        (record(other=1), "other"),
        (record(value="1"), "value"),
        (record(value=1.5), "value"),
        (record(value=2**31), "value"),
        (record(value=True), "value"),
        (record(value={}), "value"),
        (record(created_at="2026-13-25T00:00:00Z"), "created_at"),
        (record(created_at=7), "created_at"),
        (record(created_at=None), "created_at"),
        ({"uid": "one"}, "created_at"),
        (record(uid=None), "uid"),
        (record(uid="nul\0"), "uid"),
        (record(uid="\ud800"), "uid"),
        (record(uid={"a": 1}), "uid"),
    ],
)
async def test_what_is_no_record_is_refused_and_the_field_is_named(
    client: aiohttp.ClientSession, records: Database, body: Any, field: str | None
) -> None:
    assert kind(await post(client, body)) == (422, "refused-record", field)
    assert await records.value("select count(*) from records") == 0
    assert await records.value("select count(*) from snk.serve_keys") == 0


@pytest.mark.parametrize(
    "text",
    ["", "{", "nonsense", '{"uid": "a", "uid": "b"}', '{"value": NaN}', '{"value": 1}x', "\ufeff{}", '{"uid": "\n"}'],
)
async def test_what_is_not_json_is_refused(client: aiohttp.ClientSession, text: str) -> None:
    headers = {"Idempotency-Key": next(keys), "Content-Type": "application/json"}
    async with client.post("/v1/records", data=text.encode(), headers=headers) as answer:
        assert kind((answer.status, await answer.json()))[:2] == (400, "not-json")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"value": 1e9999999999999999999}', '{"value": ' + "9" * 10_000 + "}"])
async def test_json_beyond_all_bounds_is_refused(client: aiohttp.ClientSession, text: str) -> None:
    headers = {"Idempotency-Key": next(keys), "Content-Type": "application/json"}
    async with client.post("/v1/records", data=text.encode(), headers=headers) as answer:
        assert answer.status in (400, 422)
        assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("body", [{}, {"items": []}, {"items": {}}, {"items": [record()], "more": 1}, [record()]])
async def test_what_is_no_batch_is_refused(client: aiohttp.ClientSession, body: Any) -> None:
    assert kind(await post(client, body, path="/v1/records/batch")) == (422, "invalid-request", "items")


async def test_another_type_of_body_is_refused(client: aiohttp.ClientSession) -> None:
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/json", "Content-Encoding": "gzip"}):
        given = {"Idempotency-Key": next(keys), **headers}
        async with client.post("/v1/records", data=b"{}", headers=given) as answer:
            assert kind((answer.status, await answer.json()))[:2] == (415, "not-json")


@pytest.mark.long
async def test_all_digits_of_numbers_are_stored(dsn: str) -> None:
    database = await prepared(dsn, "create table numbers (id bigint primary key, n numeric, f float8, j jsonb)")
    dataset = {"table": "numbers", "key": "id", "write": ["id", "n", "f", "j"]}
    exact = "123456789012345678901234567890.12345678901234567890"
    with ServeProcess(dsn, {"numbers": dataset}) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client:
            body = f'{{"id": 9223372036854775807, "n": {exact}, "f": "Infinity", "j": {{"deep": [{exact}]}}}}'
            headers = {"Idempotency-Key": "one", "Content-Type": "application/json"}
            async with client.post("/v1/numbers", data=body, headers=headers) as answer:
                assert await answer.text() == '{"key":9223372036854775807}'
    assert await database.rows("select n::text, f::text, j->'deep'->>0 from numbers") == [(exact, "Infinity", exact)]


@pytest.mark.long
async def test_each_constraint_is_told_with_its_field(dsn: str) -> None:
    await prepared(
        dsn,
        "create table parents (id integer primary key)",
        "create table items (id integer primary key, parent integer references parents, code text unique,"
        " size integer check (size > 0), name varchar(3), low integer, check (low < size))",
        "create function refuse() returns trigger language plpgsql as"
        " $$begin if new.low = -7 then raise 'low is -7'; end if; return new; end$$",
        "create trigger refuse before insert on items for each row execute function refuse()",
        "insert into items values (1, null, 'taken', 1, 'a', 0)",
    )
    columns = ["id", "parent", "code", "size", "name", "low"]
    with ServeProcess(dsn, {"items": {"table": "items", "key": "id", "read": columns, "write": columns}}) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client:

            async def told(**body: Any) -> tuple[int, str, Any]:
                return kind(await post(client, {"id": 2, **body}, path="/v1/items"))

            assert await told(parent=7) == (409, "missing-reference", "parent")
            assert await told(code="taken") == (409, "conflict", "code")
            assert await told(size=0) == (422, "refused-record", "size")
            assert await told(name="long") == (422, "refused-record", "name")
            assert (await told(size=3, low=3))[:2] == (422, "refused-record")
            assert await told(low=-7) == (422, "refused-record", None)
            assert await told(id=1, code="other") == (409, "conflict", "id")


async def test_a_record_that_is_there_already_is_told_from_another_one(client: aiohttp.ClientSession) -> None:
    await post(client, record())
    same = record(created_at="2026-11-25T01:00:00.000+01:00")
    for sent, equal in ((record(), True), (same, True), ({"uid": "one", "created_at": same["created_at"]}, True)):
        status, told = await post(client, sent)
        assert (status, told["type"], told["equal"]) == (409, "urn:snk:problem:already-stored", equal)
    for sent in (record(value=2), record(value=None), record(created_at="2026-11-25T00:00:01Z")):
        status, told = await post(client, sent)
        assert (status, told["type"], told["equal"]) == (409, "urn:snk:problem:conflict", False)


async def test_a_batch_is_there_already_only_if_all_of_it_is(client: aiohttp.ClientSession) -> None:
    await batch(client, [record("a"), record("b")])
    status, told = await batch(client, [record("b"), record("a")])
    assert (status, told["type"], told["equal"]) == (409, "urn:snk:problem:already-stored", True)
    status, told = await batch(client, [record("a"), record("c")])
    assert (status, told["type"], told["equal"], told["index"]) == (409, "urn:snk:problem:conflict", False, 0)
    status, told = await batch(client, [record("c"), record("c")])
    assert (status, told["type"], told["index"]) == (409, "urn:snk:problem:conflict", 1)


async def test_the_same_key_gives_the_same_answer(client: aiohttp.ClientSession, records: Database) -> None:
    bodies = []
    for replayed in (None, "true", "true"):
        async with client.post("/v1/records", json=record(), headers={"Idempotency-Key": '"k"'}) as answer:
            assert (answer.status, answer.headers.get("Idempotency-Replayed")) == (201, replayed)
            bodies.append(await answer.read())
    assert len(set(bodies)) == 1
    await records.run("delete from records")
    assert await post(client, record(), "k") == (201, {"key": "one"})
    assert await records.value("select count(*) from records") == 0


async def test_the_same_key_with_another_payload_is_refused(client: aiohttp.ClientSession, records: Database) -> None:
    await post(client, record("a"), "k")
    assert kind(await post(client, record("b"), "k"))[:2] == (422, "key-reused")
    assert kind(await batch(client, [record("a")], "k"))[:2] == (422, "key-reused")
    assert await records.value("select count(*) from records") == 1


async def test_a_payload_that_is_only_written_differently_is_the_same(client: aiohttp.ClientSession) -> None:
    await post(client, record(), "k")
    text = '{ "value": 1e0, "created_at": "2026-11-25T00:00:00.000Z", "uid": "\\u006fne" }'
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json; charset=utf-8"}
    async with client.post("/v1/records", data=text, headers=headers) as answer:
        assert (answer.status, answer.headers["Idempotency-Replayed"]) == (201, "true")


@pytest.mark.parametrize(
    "given", [None, "", '""', '"open', "x" * 256, "tab\there", "ä", '"a\\b"', '"' + "x" * 256 + '"']
)
async def test_a_key_that_is_missing_or_malformed_is_refused(client: aiohttp.ClientSession, given: str | None) -> None:
    headers = {} if given is None else {"Idempotency-Key": given}
    async with client.post("/v1/records", json=record(), headers=headers) as answer:
        told = kind((answer.status, await answer.json()))
    expected = "key-missing" if given is None else "key-invalid"
    assert told[:2] == (400, expected)


@pytest.mark.parametrize(
    "given", ["a", '"a b"', "a b", "x" * 255, '"' + "x" * 255 + '"', '"q\\"\\\\"', "a,b;c=d", 'in"side']
)
async def test_a_key_may_be_quoted_or_not(client: aiohttp.ClientSession, records: Database, given: str) -> None:
    assert (await post(client, record(), given))[0] == 201
    quoted = given.startswith('"')
    key = given[1:-1].replace('\\"', '"').replace("\\\\", "\\") if quoted else given
    assert await records.value("select key from snk.serve_keys") == key


async def test_what_was_refused_is_tried_again_with_the_same_key(
    client: aiohttp.ClientSession, records: Database
) -> None:
    assert kind(await post(client, record(value="x"), "k"))[0] == 422
    assert await post(client, record(), "k") == (201, {"key": "one"})
    assert await records.value("select count(*) from snk.serve_keys") == 1


@pytest.mark.long
async def test_a_key_is_forgotten_when_its_time_is_over(records: Database) -> None:
    """An old key counts no longer, whether it was deleted or not."""
    with ServeProcess(records.dsn, key_hours=1) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client:
            await post(client, record("a"), "k")
            await records.run("update snk.serve_keys set created_at = now() - interval '61 min'")
            assert await post(client, record("b"), "k") == (201, {"key": "b"})
            assert await post(client, record("b"), "k") == (201, {"key": "b"})
        await records.run(
            "update snk.serve_keys set created_at = now() - interval '61 min'",
            "insert into snk.serve_keys select 'x', 'y', i::text, '', 201, '', now() - interval '2 h'"
            " from generate_series(1, 2500) i",
            "insert into snk.serve_keys select 'x', 'y', 'young', '', 201, '', now() - interval '59 min'",
        )
        service.stop()
        service.start()

        async def deleted() -> bool:
            return (await records.rows("select key from snk.serve_keys")) == [("young",)]

        await until(deleted, "old keys to be deleted")


async def test_the_answer_is_durable(client: aiohttp.ClientSession, records: Database) -> None:
    """Even if the role would rather not wait for the disk."""
    await records.run("create table if not exists seen (setting text)")
    await records.run(
        "create or replace function note() returns trigger language plpgsql as"
        " $$begin insert into seen values (current_setting('synchronous_commit')); return new; end$$",
        "create or replace trigger note before insert on records for each row execute function note()",
    )
    try:
        await post(client, record())
        assert await records.rows("select * from seen") == [("on",)]
    finally:
        await records.run("drop trigger note on records", "drop table seen")


async def test_a_problem_is_json_of_the_documented_form(client: aiohttp.ClientSession) -> None:
    async with client.post("/v1/records", json=record(value="x"), headers={"Idempotency-Key": "k"}) as answer:
        told = json.loads(await answer.read())
    assert told.keys() == {"type", "title", "status", "detail", "field"}
