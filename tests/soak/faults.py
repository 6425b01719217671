"""The faults of a soak: when each happens follows from the seed alone."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from redis.asyncio import Redis

from snk.embedded.postgres import PostgresServer
from snk.pair.servers import EmbeddedPair
from tests.kit.daemons import DaemonProcess
from tests.kit.databases import Database
from tests.kit.proxy import Proxy
from tests.soak.books import AWAY, Books

# How often each fault is in the deck, and for how long it lasts, in seconds. Daemons die rarely, or none would live
# long enough to show what it does with memory.
DECK: dict[str, tuple[int, float, float]] = {
    "daemon_killed": (1, 0.0, 4.0),
    "daemon_restarted": (1, 0.0, 4.0),
    "daemon_asleep": (3, 0.5, 15.0),
    "redis_flushed": (2, 0.0, 0.0),
    "redis_killed": (2, 0.0, 5.0),
    "redis_restarted": (1, 0.0, 0.0),
    "server_crashed": (3, 0.0, 2.0),
    "server_restarted": (2, 0.0, 2.0),
    "backend_killed": (2, 0.0, 0.0),
    "backends_terminated": (2, 0.0, 0.0),
    "network_cut": (3, 0.2, 10.0),
    "network_silent": (3, 1.0, 30.0),
    "network_forgot": (1, 0.0, 0.0),
    "transaction_held": (3, 3.0, 40.0),
    "row_refused": (2, 2.0, 10.0),
    "column_added": (1, 0.0, 0.0),
}
MOST_COLUMNS = 3
PERSIST_SECONDS = 90.0
REFUSED = "data not like '%.77'"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault to come.

    Attributes:
        at_seconds: after the start.
        target: 0 or 1: which daemon, or which side, where it is of one.
    """

    at_seconds: float
    kind: str
    target: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Happened:
    """One fault that happened, with times as they were."""

    kind: str
    what: str
    began_seconds: float
    ended_seconds: float


def schedule(seed: str, seconds: float, gap_seconds: float, kinds: Iterable[str] = ()) -> list[Fault]:
    """The faults of a soak of so many seconds: all of a shuffled deck, again and again."""
    chance = random.Random(f"{seed} faults")
    wanted = {kind: DECK[kind][0] for kind in kinds or DECK}
    faults: list[Fault] = []
    deck: list[str] = []
    at = gap_seconds
    while at < seconds:
        if not deck:
            deck = [kind for kind, count in wanted.items() for _ in range(count)]
            chance.shuffle(deck)
        kind = deck.pop()
        _, least, most = DECK[kind]
        faults.append(Fault(round(at, 2), kind, chance.randrange(2), round(chance.uniform(least, most), 2)))
        at += gap_seconds * chance.uniform(0.3, 1.7)
    return faults


@dataclass
class Ground:
    """What the faults befall.

    Attributes:
        extras: the columns that both sides have beyond the first three.
        down: daemons that are meant not to run now.
    """

    pair: EmbeddedPair
    sides: tuple[Database, Database]
    proxies: tuple[Proxy, Proxy]
    daemons: tuple[DaemonProcess, DaemonProcess]
    books: Books
    tables: tuple[str, ...]
    extras: tuple[str, ...] = ()
    down: set[int] = field(default_factory=set)
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    happened: list[Happened] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)

    def server(self, target: int) -> PostgresServer:
        return (self.pair.first, self.pair.second)[target]

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @asynccontextmanager
    async def only(self, *names: str) -> AsyncIterator[None]:
        """Nobody else does anything to these meanwhile."""
        async with AsyncExitStack() as stack:
            for name in sorted(names):
                await stack.enter_async_context(self.locks.setdefault(name, asyncio.Lock()))
            yield


async def happen(ground: Ground, fault: Fault) -> None:
    """Make one fault, see it end, and note it."""
    doing, resources = KINDS[fault.kind]
    async with ground.only(*resources(fault.target)):
        began = ground.seconds
        what = await doing(ground, fault.target, fault.seconds)
        ground.happened.append(Happened(fault.kind, what, began, ground.seconds))
        ground.counts[fault.kind] += 1


async def daemon_killed(ground: Ground, target: int, seconds: float) -> str:
    ground.down.add(target)
    ground.daemons[target].kill()
    await asyncio.sleep(seconds)
    ground.daemons[target].start()
    ground.down.discard(target)
    return f"kill -9 of daemon {target + 1}, away for {seconds} s"


async def daemon_restarted(ground: Ground, target: int, seconds: float) -> str:
    ground.down.add(target)
    code = await asyncio.to_thread(ground.daemons[target].stop)
    assert code == 0, f"daemon {target + 1} was told to stop and ended with {code}"
    await asyncio.sleep(seconds)
    ground.daemons[target].start()
    ground.down.discard(target)
    return f"SIGTERM to daemon {target + 1}, away for {seconds} s"


async def daemon_asleep(ground: Ground, target: int, seconds: float) -> str:
    ground.daemons[target].send(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    ground.daemons[target].send(signal.SIGCONT)
    return f"SIGSTOP of daemon {target + 1} for {seconds} s"


async def redis_flushed(ground: Ground, _: int, __: float) -> str:
    async with Redis.from_url(ground.pair.redis.dsn) as redis:
        await redis.flushall()
    return "Redis emptied"


async def redis_killed(ground: Ground, _: int, seconds: float) -> str:
    ground.pair.redis.kill()
    await asyncio.sleep(seconds)
    ground.pair.redis.start()
    return f"kill -9 of Redis, away for {seconds} s"


async def redis_restarted(ground: Ground, _: int, __: float) -> str:
    ground.pair.redis.restart()
    return "Redis restarted"


async def server_crashed(ground: Ground, target: int, seconds: float) -> str:
    rows = ground.books.crash(target)
    await asyncio.to_thread(ground.server(target).stop, "immediate")
    rows += ground.books.crash(target)
    await asyncio.sleep(seconds)
    await up(ground.server(target))
    return f"immediate shutdown of server {target + 1}, away for {seconds} s, {rows} rows at risk"


async def server_restarted(ground: Ground, target: int, seconds: float) -> str:
    await asyncio.to_thread(ground.server(target).stop, "fast")
    await asyncio.sleep(seconds)
    await up(ground.server(target))
    return f"fast restart of server {target + 1}, away for {seconds} s"


async def up(server: PostgresServer) -> None:
    """Launched from this thread, for the server ends with the thread that started it; awaited in another."""
    server.launch()
    await asyncio.to_thread(server.wait_until_ready)


async def backend_killed(ground: Ground, target: int, _: float) -> str:
    """The server takes it for a crash, and recovers without a restart: the boot is another, the start is not."""
    pids = await persist(ground.sides[target], "select pid from pg_stat_activity where application_name = 'snk'")
    if not pids:
        return f"no backend of SNK to kill on server {target + 1}"
    rows = ground.books.crash(target)
    try:
        os.kill(pids[0], signal.SIGKILL)
    except ProcessLookupError:
        return f"a backend on server {target + 1} had ended before it could be killed"
    await asyncio.sleep(0.5)
    rows += ground.books.crash(target)
    await asyncio.to_thread(ground.server(target).wait_until_ready)
    return f"kill -9 of a backend on server {target + 1}, {rows} rows at risk"


async def backends_terminated(ground: Ground, target: int, _: float) -> str:
    ended = await persist(
        ground.sides[target], "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'snk'"
    )
    return f"{len(ended)} backends of SNK terminated on server {target + 1}"


async def network_cut(ground: Ground, target: int, seconds: float) -> str:
    proxy = ground.proxies[target]
    proxy.refuse()
    proxy.cut()
    await asyncio.sleep(seconds)
    proxy.refuse(refusing=False)
    return f"no connections to server {target + 1} for {seconds} s"


async def network_silent(ground: Ground, target: int, seconds: float) -> str:
    ground.proxies[target].hold()
    await asyncio.sleep(seconds)
    ground.proxies[target].release()
    return f"no packets to or from server {target + 1} for {seconds} s"


async def network_forgot(ground: Ground, target: int, _: float) -> str:
    ground.proxies[target].forget()
    return f"connections to server {target + 1} forgotten, new ones work"


async def transaction_held(ground: Ground, target: int, seconds: float) -> str:
    name = f"h{target}{int(ground.began)}.{len(ground.happened)}"
    books = ground.books
    try:
        async with ground.sides[target].connect() as connection:
            data = f"{name}.0"
            await connection.exec_driver_sql(
                f"insert into records (uuid, data) values ('{books.uuid_of(data)}', '{data}')"
            )
            await asyncio.sleep(seconds)
            deed = books.begin(name, "records", "held", [0], lazy=False)
            await connection.commit()
            books.answered(deed, target, 0)
    except AWAY:
        return f"a transaction on side {target + 1} was to be held for {seconds} s, and lost its server"
    return f"a transaction on side {target + 1} held for {seconds} s"


async def row_refused(ground: Ground, target: int, seconds: float) -> str:
    side = ground.sides[target]
    drop = "alter table records drop constraint if exists soak_refuses"
    await persist(side, drop, f"alter table records add constraint soak_refuses check ({REFUSED}) not valid")
    try:
        await asyncio.sleep(seconds)
        (rows,) = await persist(side, "select count(*) from snk.rejected")
    finally:
        await persist(side, drop)
    return f"side {target + 1} refused rows for {seconds} s, {rows} of them of SNK's"


async def column_added(ground: Ground, target: int, _: float) -> str:
    if len(ground.extras) == MOST_COLUMNS:
        return "no more columns to add"
    name = f"extra_{len(ground.extras) + 1}"
    for side in (target, 1 - target):
        for table in ground.tables:
            await persist(ground.sides[side], f"alter table {table} add column if not exists {name} text")
    ground.extras = (*ground.extras, name)
    return f"column {name} added, first on side {target + 1}"


async def persist(side: Database, *statements: str) -> list[int]:
    """Run statements in one transaction, again and again until it is committed; waiting for no lock for long."""
    give_up = time.monotonic() + PERSIST_SECONDS
    while True:
        try:
            async with asyncio.timeout(10), side.connect() as connection:
                await connection.exec_driver_sql("set local lock_timeout = '1s'")
                for statement in statements:
                    result = await connection.exec_driver_sql(statement)
                values = [row[0] for row in result] if result.returns_rows else []
                await connection.commit()
                return values
        except (*AWAY, TimeoutError):
            if time.monotonic() > give_up:
                raise
            await asyncio.sleep(0.2)


def everything(_: int) -> tuple[str, ...]:
    """A pair is not fit while its tables differ, and a daemon that starts just then says so and ends: as it should."""
    return ("daemon0", "daemon1", "net0", "net1", "server0", "server1")


Doing = Callable[[Ground, int, float], Coroutine[None, None, str]]
KINDS: dict[str, tuple[Doing, Callable[[int], tuple[str, ...]]]] = {
    "daemon_killed": (daemon_killed, lambda at: (f"daemon{at}",)),
    "daemon_restarted": (daemon_restarted, lambda at: (f"daemon{at}",)),
    "daemon_asleep": (daemon_asleep, lambda at: (f"daemon{at}",)),
    "redis_flushed": (redis_flushed, lambda _: ("redis",)),
    "redis_killed": (redis_killed, lambda _: ("redis",)),
    "redis_restarted": (redis_restarted, lambda _: ("redis",)),
    "server_crashed": (server_crashed, lambda at: (f"server{at}",)),
    "server_restarted": (server_restarted, lambda at: (f"server{at}",)),
    "backend_killed": (backend_killed, lambda at: (f"server{at}",)),
    "backends_terminated": (backends_terminated, lambda at: (f"server{at}",)),
    "network_cut": (network_cut, lambda at: (f"net{at}",)),
    "network_silent": (network_silent, lambda at: (f"net{at}",)),
    "network_forgot": (network_forgot, lambda at: (f"net{at}",)),
    "transaction_held": (transaction_held, lambda _: ()),
    "row_refused": (row_refused, lambda at: (f"check{at}",)),
    "column_added": (column_added, everything),
}
