"""The service against its own description."""

from typing import Any

import aiohttp
import pytest
import schemathesis
from schemathesis.core.result import Ok

from tests.kit.databases import Database
from tests.kit.openapi import check
from tests.kit.serve import ServeProcess, prepared

KINDS = (
    "create table kinds (id integer primary key, at timestamptz not null, name text not null, amount numeric,"
    " yes boolean, ref uuid, day date, doc jsonb, many integer[] default '{}', small smallint)"
)
NAMES = ["id", "at", "name", "amount", "yes", "ref", "day", "doc", "many", "small"]
DATASET = {"table": "kinds", "key": "id", "time": "at", "read": NAMES, "write": NAMES}


async def described(client: aiohttp.ClientSession) -> Any:
    """The description."""
    async with client.get("/openapi.json") as answer:
        assert answer.status == 200
        return await answer.json()


async def test_it_describes_every_dataset_with_its_own_columns(client: aiohttp.ClientSession) -> None:
    told = await described(client)
    record = told["paths"]["/v1/records"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert record["required"] == ["uid", "created_at"]
    assert record["properties"].keys() == {"uid", "created_at", "value"}
    assert set(told["paths"]) == {f"/v1/records{rest}" for rest in ("", "/batch", "/digest", "/frames/{minute}")}


async def test_its_pages_need_nothing_from_elsewhere(client: aiohttp.ClientSession) -> None:
    async with client.get("/docs") as answer:
        page = await answer.text()
        assert answer.status == 200
    assert "//" not in page.replace("/static-offline-docs//", "").replace("<!-- `SwaggerUIBundle`", "")
    async with client.get("/static-offline-docs/swagger-ui-bundle.js") as answer:
        assert answer.status == 200


async def test_it_can_be_left_out(records: Database) -> None:
    with ServeProcess(records.dsn, docs=False) as service:
        await service.until_answering()
        async with aiohttp.ClientSession(service.url) as client:
            for path in ("/docs", "/openapi.json", "/static-offline-docs/swagger-ui.css"):
                async with client.get(path) as answer:
                    assert answer.status == 404


@pytest.mark.long
@pytest.mark.parametrize("examples", [12, pytest.param(60, marks=pytest.mark.full)])
async def test_it_does_what_it_describes(dsn: str, examples: int) -> None:
    """Requests that the description allows, and others, are answered as it says; none is answered with 500.

    What it cannot say, such as that ``to`` is not before ``from``, may be refused.
    """
    await prepared(dsn, KINDS)
    with ServeProcess(dsn, {"kinds": DATASET}) as service:
        await service.until_answering()
        schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), found
            operation = found.ok()
            for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
                check(operation, mode, examples)
        assert "Traceback" not in service.log
