"""The histories that drive the pure tail, replayed with real transactions against the real session."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.intervals import Intervals
from snk.db.server import Server
from snk.pair.core import tail as tail_module
from snk.pair.core.pace import BatchSize
from snk.pair.core.portion import Portion
from snk.pair.core.tail import Fenced
from snk.pair.dedup.dedup_set import DedupSet
from snk.pair.dedup.redis_store import RedisStore
from snk.pair.sync import late as late_module
from snk.pair.sync.arrivals import Arrivals
from snk.pair.sync.limits import Limits
from snk.pair.sync.lineage import Lineage
from snk.pair.sync.link import Link
from snk.pair.sync.meter import Meter
from snk.pair.sync.parts import Around, Echoes, FlowParts
from snk.pair.sync.prepare import prepare
from snk.pair.sync.progress import Progress
from snk.pair.sync.referred import Referred, Table
from snk.pair.sync.requested import RequestedRows
from snk.pair.sync.room import Room
from snk.pair.sync.rounds import Rounds
from snk.pair.sync.route import Route
from snk.pair.sync.session import Session
from snk.pair.sync.side import Side
from snk.pair.sync.start import Start
from snk.pair.sync.turns import NO_TURN, Turns
from snk.pair.sync.watch import Watch
from snk.pair.table import marks
from snk.pair.table.marks import MarkState
from snk.pair.table.reader import Found, Reader
from tests.kit.databases import DEADLINE_SECONDS, Database, until, until_equal
from tests.kit.histories import Do, Event, histories
from tests.kit.links import facts_of, linked_servers


class SteppedReader(Reader):
    """A reader that runs its next statement only when it is its turn, so that anything can happen in between."""

    def __init__(self, reader: Reader) -> None:
        self.__dict__.update(reader.__dict__)
        self.free = False
        self._turn = asyncio.Semaphore(0)
        self._done = asyncio.Semaphore(0)

    async def advance(self) -> None:
        self._turn.release()
        await self._done.acquire()

    def run_freely(self) -> None:
        self.free = True
        self._turn.release()

    async def above(self, high: int, portion: Portion) -> Found:
        return await self._in_turn(super().above(high, portion))

    async def within(self, holes: Intervals, portion: Portion) -> Found:
        return await self._in_turn(super().within(holes, portion))

    async def writers(self) -> frozenset[str]:
        return await self._in_turn(super().writers())

    async def _in_turn(self, statement: Any) -> Any:
        if not self.free:
            await self._turn.acquire()
        try:
            return await statement
        finally:
            self._done.release()


class Writer:
    """One session of a history's writers."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._drawn: list[int] = []

    async def play(self, do: Do) -> None:
        run = self._connection.exec_driver_sql
        match do:
            case Do.DRAW:
                self._drawn.append((await run("select nextval('records_id_seq')")).scalar_one())
            case Do.INSERT if self._drawn:
                number = self._drawn.pop(0)
                await run(f"insert into records (id, uuid, data) values ({number}, gen_random_uuid(), '{number}')")
            case Do.INSERT:
                await run("insert into records (uuid, data) values (gen_random_uuid(), 'plain')")
            case Do.SAVEPOINT:
                await run("savepoint s")
            case Do.ROLLBACK_TO:
                with suppress(Exception):
                    await run("rollback to s")
                    return
                await self._end("rollback")
            case Do.COMMIT:
                await self._end("commit")
            case _:
                await self._end("rollback")

    async def _end(self, how: str) -> None:
        self._drawn.clear()
        await getattr(self._connection, how)()


async def replay(
    events: Sequence[Event], pair: Any, batch_rows: int, deadline_seconds: float = DEADLINE_SECONDS
) -> None:
    first, second = Database(pair.first), Database(pair.second)
    servers = Server("first", pair.first), Server("second", pair.second)
    for server, database in zip(servers, (first, second), strict=True):
        await prepare(server, ("records",))
        await database.run("truncate records restart identity", "truncate snk.marks")
    async with AsyncExitStack() as stack:
        writers = [Writer(await stack.enter_async_context(first.connect())) for _ in range(4)]
        link = await stack.enter_async_context(linked_servers(*servers, "records"))
        reader = SteppedReader(link.source.reader)
        session = await started(link, reader, batch_rows)
        tailing = asyncio.create_task(forever(session))
        for event in events:
            await (reader.advance() if event.do is Do.ADVANCE else writers[event.writer].play(event.do))
        for writer in writers:
            await writer.play(Do.COMMIT)
        reader.run_freely()
        try:
            await until_equal(first, second, deadline_seconds=deadline_seconds)
            await until(lambda: no_holes(session), "every hole closed", deadline_seconds)
        finally:
            tailing.cancel()
            with suppress(asyncio.CancelledError):
                await tailing


async def started(link: Link, reader: SteppedReader, batch_rows: int) -> Session:
    source = replace(link.source, reader=reader)
    mark = MarkState(source=source.facts.identity, boot=source.facts.boot)
    async with link.destination.access.using() as connection:
        await marks.create(connection, [(link.destination.writer.table_name, mark)])
    route = Route(source.server, link.destination.server, link.table)
    alarm = asyncio.Event()
    progress, requested = Progress(), RequestedRows(alarm)
    echoes = Echoes(DedupSet(1000), DedupSet(1000), "none", RedisStore("redis://nowhere"))
    around = Around(_side(source.server), _side(link.destination.server), Turns(), Room(Limits()))
    parts = FlowParts(route, echoes, around, progress, Meter(route, progress, requested), requested, alarm)
    start = Start(mark)
    referred = Referred(around.destination.arrivals, Table(link.table), 0, stopping=lambda: False)
    return Session(replace(link, source=source), parts, start, BatchSize.of(batch_rows, 2**24), referred)


def _side(server: Server) -> Side:
    facts = facts_of(server)
    watch = Watch(server, facts.lender, 0.005)
    return Side(facts, watch, Rounds(facts.lender, watch), Arrivals(), Lineage())


async def forever(session: Session) -> None:
    while True:
        await session.step(NO_TURN)


async def no_holes(session: Session) -> bool:
    return not session.intake.tail.fenced


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)
@given(histories(40), st.integers(1, 4))
def test_every_committed_row_arrives_once_and_every_hole_closes(
    pair: Any, events: list[Event], batch_rows: int
) -> None:
    asyncio.run(replay(events, pair, batch_rows))


LATE_COMMIT = [
    Event(Do.INSERT, 0),
    Event(Do.INSERT, 1),
    Event(Do.COMMIT, 1),
    *[Event(Do.ADVANCE)] * 4,
    Event(Do.COMMIT, 0),
    *[Event(Do.ADVANCE)] * 4,
]


TWO_HOLES = [
    *[Event(Do.INSERT, 0)] * 2,
    Event(Do.INSERT, 1),
    *[Event(Do.INSERT, 0)] * 2,
    Event(Do.INSERT, 1),
    Event(Do.COMMIT, 1),
    *[Event(Do.ADVANCE)] * 9,
    Event(Do.COMMIT, 0),
    *[Event(Do.ADVANCE)] * 4,
]


def test_holes_that_are_more_than_a_batch_are_re_read_one_after_the_other(pair: Any) -> None:
    asyncio.run(replay(TWO_HOLES, pair, 3))


def test_a_row_committed_late_arrives(pair: Any) -> None:
    asyncio.run(replay(LATE_COMMIT, pair, 10))


@pytest.fixture
def without_fences(monkeypatch: pytest.MonkeyPatch) -> None:
    """The product, broken: holes are given up at once; and whatever comes into them is looked for too late."""
    monkeypatch.setattr(late_module, "LATE_SECONDS", 3600.0)
    monkeypatch.setattr(tail_module, "_looked", lambda group, _: Fenced(group.holes, frozenset(), due=True))


@pytest.mark.long
@pytest.mark.usefixtures("without_fences")
def test_without_fences_the_late_row_would_be_lost(pair: Any) -> None:
    """The test above can fail."""
    with pytest.raises(AssertionError, match="waited in vain"):
        asyncio.run(replay(LATE_COMMIT, pair, 10, deadline_seconds=3.0))
