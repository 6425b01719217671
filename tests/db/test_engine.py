"""Errors come out in SNK's own words, sorted by what the caller does about them."""

import pytest
import sqlalchemy as sa

from snk.db.engine import Server
from snk.errors import TooLarge
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
