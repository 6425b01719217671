"""Errors come out in SNK's own words, sorted by what the caller does about them."""

from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from snk.db.engine import Server
from snk.errors import PairUnfit, TooLarge
from tests.conftest import PairUrls


async def test_an_array_larger_than_a_server_can_make_is_too_large(pair: PairUrls) -> None:
    megabytes = sa.func.generate_series(1, 1100).table_valued("number")
    heavy = sa.select(sa.func.array_agg(sa.func.repeat("x", 1_000_000))).select_from(megabytes)
    with pytest.raises(TooLarge, match="array size exceeds"):
        async with Server("first", pair.first).connect() as connection:
            await connection.execute(heavy)


async def test_statements_are_forgotten_with_the_session_that_made_them(pair: PairUrls) -> None:
    server = Server("first", pair.first)
    kept = []
    for _ in range(3):
        async with server.connect() as connection:
            looked_at_anew = sa.Table("pg_class", sa.MetaData(), sa.Column("relname", sa.Text), schema="pg_catalog")
            await connection.execute(sa.select(looked_at_anew).limit(1))
        kept.append(len(server.engine.sync_engine._compiled_cache or ()))
    assert kept == [kept[0]] * 3


async def test_statements_see_what_is_committed_whatever_the_role_prefers(pair: PairUrls) -> None:
    server = Server("first", pair.first)
    name = urlsplit(pair.first).path[1:]
    async with server.connect() as connection:
        preferred = f"alter database \"{name}\" set default_transaction_isolation = 'repeatable read'"
        await connection.execute(sa.text(preferred))
    async with server.connect() as connection:
        level = await connection.execute(sa.select(sa.func.current_setting("transaction_isolation")))
        assert level.scalar_one() == "read committed"


async def test_a_parameter_that_nobody_knows_is_the_urls_fault(pair: PairUrls) -> None:
    with pytest.raises(PairUnfit, match=r"sslmoode.*parameters of its URL"):
        async with Server("first", f"{pair.first}?sslmoode=require").connect():
            pass
