"""One statement for all who ask at once; each gets what its own key deserves."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.lender import Lender
from snk.db.server import Server
from snk.db.together import Together
from snk.errors import RowRefused, SnkError, TableUnfit, Unavailable

INVERSE = sa.text("select n, 100 / n from unnest(cast(:numbers as int[])) n")


class Inverses:
    """Divides 100 by numbers; the server refuses 0, and 7 is nobody's number."""

    def __init__(self, lender: Lender) -> None:
        self.asked: list[Sequence[int]] = []
        self.lender = lender
        self.together = Together(lender, self._ask, 10)
        self.boot = ""

    async def _ask(self, connection: AsyncConnection, keys: Sequence[int]) -> dict[int, int | SnkError]:
        self.asked.append(keys)
        found = {row[0]: row[1] for row in await connection.execute(INVERSE, {"numbers": list(keys)})}
        return {key: TableUnfit("seven") if key == 7 else found[key] for key in keys}

    async def of(self, *numbers: int) -> list[Any]:
        """What each asker gets."""
        asking = [self.together.of(number, self.boot) for number in numbers]
        return await asyncio.gather(*asking, return_exceptions=True)


async def nothing(_: AsyncConnection) -> None:
    """Set nothing up."""


@pytest.fixture
async def inverses(pair: Any) -> AsyncIterator[Inverses]:
    made = Inverses(Lender(Server("first", pair.first), 2, nothing))
    async with made.lender.lend() as kept:
        made.boot = kept.facts.boot
    yield made
    await made.together.close()
    await made.lender.close()


async def test_all_who_ask_at_once_are_answered_by_one_statement(inverses: Inverses) -> None:
    assert await inverses.of(1, 2, 5, 2) == [100, 50, 20, 50]
    assert [sorted(keys) for keys in inverses.asked] == [[1, 2, 5]]


async def test_a_statement_asks_about_so_many_at_most(inverses: Inverses) -> None:
    assert await inverses.of(*range(20, 45)) == [100 // number for number in range(20, 45)]
    assert [len(keys) for keys in inverses.asked] == [10, 10, 5]


async def test_a_key_that_the_server_refuses_fails_nobody_else(inverses: Inverses) -> None:
    one, refused, other = await inverses.of(1, 0, 2)
    assert (one, other) == (100, 50)
    assert isinstance(refused, RowRefused)


async def test_only_its_asker_hears_of_an_error_of_a_key(inverses: Inverses) -> None:
    one, unfit = await inverses.of(1, 7)
    assert one == 100
    assert isinstance(unfit, TableUnfit)
    assert len(inverses.asked) == 1


async def test_in_another_boot_nobody_gets_an_answer(inverses: Inverses) -> None:
    right, inverses.boot = inverses.boot, "another"
    assert {type(answer) for answer in await inverses.of(1, 2)} == {Unavailable}
    inverses.boot = right
    assert await inverses.of(1, 2) == [100, 50]


async def test_one_who_gives_up_fails_nobody_else(inverses: Inverses) -> None:
    async with inverses.lender.lend(), inverses.lender.lend():
        given_up = asyncio.create_task(inverses.together.of(1, inverses.boot))
        waiting = asyncio.create_task(inverses.together.of(2, inverses.boot))
        await asyncio.sleep(0)
        given_up.cancel()
    assert await waiting == 50


async def test_closing_fails_pending_callers(inverses: Inverses) -> None:
    async with inverses.lender.lend(), inverses.lender.lend():
        waiting = asyncio.create_task(inverses.together.of(2, inverses.boot))
        await asyncio.sleep(0)
        await inverses.together.close()
        with pytest.raises(Unavailable):
            await waiting


async def test_a_key_that_takes_long_holds_up_no_other(inverses: Inverses) -> None:
    """Alone it is asked patiently, and beside the others."""
    patient, asked = asyncio.Event(), asyncio.Event()

    async def alone(_: AsyncConnection, keys: Sequence[int]) -> dict[int, int | SnkError]:
        asked.set()
        await patient.wait()
        return dict.fromkeys(keys, 0)

    together = Together(inverses.lender, inverses._ask, 10, alone=alone)
    refused = asyncio.create_task(together.of(0, inverses.boot))
    await asked.wait()
    assert await together.of(2, inverses.boot) == 50
    patient.set()
    assert await refused == 0
    await together.close()
