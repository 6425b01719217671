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
