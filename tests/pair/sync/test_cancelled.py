"""A session that is cancelled, at whatever it waits for, leaves rows and mark together."""

import asyncio
from collections.abc import Coroutine, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from snk.db.server import Server
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.flow import Flow
from snk.pair.sync.limits import Limits
from snk.pair.sync.pair import Pair
from snk.pair.sync.session import Session
from snk.pair.sync.turns import NO_TURN
from snk.pair.table.marks import MarkState
from snk.pair.table.synced import Rows
from snk.pair.table.writer import Delivered, Writer
from tests.kit.databases import Database, insert
from tests.pair.conftest import Running

ROWS = 3
STEPS = 3
EPOCH = 99
# A statement is prepared and executed: read, write, and the mark at the end.
LEAST_WAITS = 6
# Rows and mark in one snapshot.
TOGETHER = (
    "select (select count(*) from records), (select coalesce(max(high), 0) from snk.marks),"
    " (select coalesce(array_length(max(holes_low), 1), 0) from snk.marks)"
)


@dataclass
class _Stepped:
    steps: Generator[Any, Any, None]

    def __await__(self) -> Generator[Any, Any, None]:
        return self.steps


class CancelledAt:
    """Runs a coroutine, and cancels the task at its n-th wait.

    Attributes:
        waits: how often it has waited.
        ended: it came to its end before that.
    """

    def __init__(self, at: int) -> None:
        self._at = at
        self.waits = 0
        self.ended = False

    async def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run it as the task that is current."""
        await _Stepped(self._stepped(coroutine))

    def _stepped(self, coroutine: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task
        inner = coroutine.__await__()
        send, value = inner.send, None
        while True:
            try:
                waited_for = send(value)
            except StopIteration:
                self.ended = not self._at or self.waits < self._at
                return
            self.waits += 1
            if self.waits == self._at:
                loop.call_soon(task.cancel)
            try:
                value, send = (yield waited_for), inner.send
            except BaseException as error:  # noqa: BLE001 - handed on, whatever it is
                value, send = error, inner.throw


async def steps(session: Session) -> None:
    """What a flow does with a session, from its start to its end."""
    for _ in range(STEPS):
        await session.step(NO_TURN)
    await session.finish()


async def life(flow: Flow, at: int) -> bool:
    """Lead a session that is cancelled at its n-th wait; whether it came to its end before."""
    counted = CancelledAt(at)
    with suppress(asyncio.CancelledError):
        async with flow._session(EPOCH, asyncio.Event()) as session:
            await asyncio.create_task(counted.run(steps(session)))
    return counted.ended


async def with_sessions_cancelled(
    pair: Any, running: Running, first: Database, second: Database, batch_rows: int
) -> int:
    """Cancel a session at its first wait, another one at its second, and so on, until one comes to its end."""
    async with running():
        pass  # makes the table
    servers = Pair(Server("first", pair.first), Server("second", pair.second), ("records",))
    daemon = Daemon(servers, Limits(batch_rows), pair.redis)
    async with daemon._connections(), daemon._shared.store:
        return await _cancelled_in_turn(daemon.flows[0], first, second)


async def _cancelled_in_turn(flow: Flow, first: Database, second: Database) -> int:
    ended, at = False, 0
    while not ended:
        at += 1
        await insert(first, ROWS)
        ended = await life(flow, at)
        rows, high, holes = (await second.rows(TOGETHER))[0]
        assert (rows, holes) == (high, 0), f"cancelled at wait {at}: {rows} rows, mark at {high}"
    while await first.value("select count(*) from records") > await second.value("select count(*) from records"):
        await life(flow, 0)
    assert await first.contents() == await second.contents()
    return at


@pytest.mark.sampled(1)
@pytest.mark.parametrize("batch_rows", [2, 1000])
async def test_a_session_cancelled_anywhere_leaves_rows_and_mark_together(
    pair: Any, running: Running, first: Database, second: Database, batch_rows: int
) -> None:
    """Large batches are written by the step itself, small ones beside the next read."""
    assert await with_sessions_cancelled(pair, running, first, second, batch_rows) >= LEAST_WAITS


@pytest.mark.long
async def test_a_mark_outside_the_transaction_would_be_seen_without_its_rows(
    pair: Any, running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: with the mark moved first, in a transaction of its own, it does."""
    deliver = Writer.deliver

    async def mark_first(
        self: Writer, rows: Rows, state: MarkState, again: Sequence[str], *_: object
    ) -> tuple[Delivered, MarkState]:
        return await deliver(self, rows, await self.move(state), again)

    monkeypatch.setattr(Writer, "deliver", mark_first)
    with pytest.raises(AssertionError, match="cancelled at wait"):
        await with_sessions_cancelled(pair, running, first, second, 1000)
