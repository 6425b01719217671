"""All scenarios, at full size or small."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import uvloop

from bench.contenders.contender import Contender
from bench.contenders.native import Native
from bench.contenders.original import Original
from bench.contenders.snk import Snk
from bench.ground import WARM_ROWS, Ground, ground
from bench.results import Result
from bench.scenario import Case, Runnable, Scenario, Shown
from bench.scenarios import latency, resync, verify
from bench.scenarios.batch import Due, Sent
from bench.scenarios.catch_up import catch_up
from bench.scenarios.handoff import Replay, Waiting
from bench.scenarios.limit import limit
from bench.scenarios.live import live
from bench.scenarios.loaded import Loaded
from bench.scenarios.pipeline import Idle, Large, Pulled, Pushed
from bench.scenarios.scale import grown, spread
from bench.scenarios.served import Served
from bench.scenarios.tables import Sized, many

RACERS = (Snk, Native)
WIDE_BYTES = 128 * 2**20  # of all rows of a case together
WAYS = {"copy": "binary COPY from a file", "insert": "INSERT … SELECT in the server"}
SESSIONS = {
    "one": "one connection",
    "two": "two connections to one server",
    "both_sides": "one connection to each server",
}
RATE = Shown("rows_per_second", "rows/s", compared=True)
LOST = Shown("lost", "lost")
PEAK = Shown("peak_mib", "own peak MiB")


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of all measurements, in rows.

    Attributes:
        live: inserted by TST, for contenders that keep up.
        slow: inserted by TST, against the poller, which takes minutes for more.
        steady: inserted by TST, against Bucardo, one case each.
        waiting: rows to catch up with.
        lone: single rows, one after another, per direction.
        idle_seconds: duration of the idle measurement.
        held: rows that tables hold before, one case each.
        more: rows inserted into those tables, into many tables, and as wide rows.
        tables: numbers of tables, one case each.
        many: numbers of tables most of which are quiet, one case each.
        wide: bytes of a row's data, one case each; the wider the rows, the fewer.
        verified: rows of the tables compared, and the maximum number of rounds: reladiff takes minutes for large
            tables.
        counted: sources and workers of the project whose counters are checked.
        missed: lines to replay, and in how many logs; lines that wait, in how many logs, and seconds to watch them.
        framed: records to push, frames of 1,000 records to pull, records of one large frame, and seconds to watch an
            idle pipeline.
        batched: tasks that are due at once, finished runs beside them, records that a consumer loads, and messages.
        warm_rows: as in `ground`.
    """

    live: int = 2_000_000
    slow: int = 60_000
    steady: tuple[int, ...] = (1_000_000, 2_000_000)
    waiting: int = 1_000_000
    lone: int = 120
    idle_seconds: float = 10.0
    held: tuple[int, ...] = (0, 1_000_000, 5_000_000, 20_000_000)
    more: int = 320_000
    tables: tuple[int, ...] = (1, 4, 16)
    many: tuple[int, ...] = (1, 16, 100, 300, 1000)
    wide: tuple[int, ...] = (32, 1024, 32_768)
    verified: tuple[tuple[int, int], ...] = ((1_000_000, 9), (5_000_000, 5), (20_000_000, 2))
    counted: tuple[int, int] = (1_000_000, 10_000)
    missed: tuple[int, int, int, int, float] = (200_000, 1_000, 2_000_000, 2_000, 20.0)
    framed: tuple[int, int, int, float] = (50_000, 500, 1_000_000, 20.0)
    batched: tuple[int, int, int, int] = (10_000, 1_000_000, 100_000, 50)
    warm_rows: int = WARM_ROWS


SMOKE = Sizes(
    live=20_000,
    slow=5_000,
    steady=(5_000,),
    waiting=20_000,
    lone=5,
    idle_seconds=1,
    held=(5_000,),
    more=8_000,
    tables=(2,),
    many=(3,),
    wide=(1024,),
    verified=((20_000, 1),),
    counted=(2000, 20),
    missed=(2_000, 10, 20_000, 10, 2.0),
    framed=(2_000, 10, 10_000, 2.0),
    batched=(50, 1_000, 5_000, 2),
    warm_rows=1000,
)


@dataclass(frozen=True, slots=True)
class Grown:
    """A case of `grown`."""

    held: int
    rows: int
    warm_rows: int

    def run(self, rounds: int) -> Iterator[Result]:
        """Run all measurements, on one pair of servers."""
        for contender, number, figures in grown(RACERS, self.held, self.rows, rounds, self.warm_rows):
            yield Result(f"tables hold {self.held:,} rows", contender, number, figures)


@dataclass(frozen=True, slots=True)
class Verified:
    """Equal tables, then unequal tables, compared by every tool in turn."""

    rows: int
    most_rounds: int

    def run(self, rounds: int) -> Iterator[Result]:
        """Run all measurements, on one pair of servers."""
        rounds = min(rounds, self.most_rounds)
        with ground() as fresh:
            uvloop.run(verify.prepare(fresh, self.rows))
            yield from self._by_all(fresh, f"{self.rows:,} equal rows", verify.Differences(), rounds)
            made = uvloop.run(verify.differ(fresh))
            yield from self._by_all(fresh, f"{self.rows:,} rows, {3 * verify.EACH} differences", made, rounds)

    def _by_all(self, fresh: Ground, case: str, made: verify.Differences, rounds: int) -> Iterator[Result]:
        for number in range(1, rounds + 1):
            tools = verify.tools(made)
            for tool in tools if number % 2 else reversed(tools):
                yield Result(case, tool.name, number, uvloop.run(verify.measure(fresh, tool, made)))


@dataclass(frozen=True, slots=True)
class Counted:
    """A project of multiple assignment, checked in each way in turn."""

    sources: int
    workers: int

    def run(self, rounds: int) -> Iterator[Result]:
        """Run all measurements, on one database and one Redis."""
        with ground() as fresh:
            uvloop.run(resync.prepare(fresh, self.sources, self.workers))
            for number in range(1, rounds + 1):
                for name in resync.WAYS if number % 2 else reversed(resync.WAYS):
                    measuring = resync.measure(fresh, resync.WAYS[name], self.sources, self.workers)
                    case = f"{self.sources:,} sources, {self.workers:,} workers"
                    yield Result(case, name, number, uvloop.run(measuring))


@dataclass(frozen=True, slots=True)
class Limit:
    """The servers' maximum insert rate."""

    rows: int
    warm_rows: int

    def run(self, rounds: int) -> Iterator[Result]:
        """Run each method as if it were a contender."""
        for number in range(1, rounds + 1):
            with ground(warm_rows=self.warm_rows) as fresh:
                for way, rate in uvloop.run(limit(fresh, self.rows)).items():
                    kind, _, sessions = way.partition("_")
                    yield Result(WAYS[kind], SESSIONS[sessions], number, {"rows_per_second": rate})


def suite(sizes: Sizes, slow: Sequence[Callable[[], Contender]] = (Original,)) -> dict[str, Scenario]:
    """All scenarios by name, in the order in which they run."""
    scenarios = (
        _live(sizes),
        _slow(sizes, slow),
        _catch_up(sizes),
        _idle(sizes),
        _loaded(sizes),
        _scale(sizes),
        _tables(sizes),
        _verify(sizes),
        _resync(sizes),
        _handoff(sizes),
        _pipeline(sizes),
        _batch(sizes),
        _limit(sizes),
        _cost(),
    )
    return {scenario.name: scenario for scenario in scenarios}


def _live(sizes: Sizes) -> Scenario:
    about = (
        "TST at full speed on both sides; rows per second until both sides hold all, the share that was there when TST"
        " stopped, and how long the rest took. *nobody*: TST, and no sync."
    )
    shown = (
        RATE,
        Shown("tst_rows_per_second", "rows/s as TST sees it"),
        Shown("percent_at_stop", "% there when TST stops", 2),
        Shown("drain_seconds", "the rest after s", 2),
        LOST,
    )
    case = Case(f"{sizes.live:,} rows", (Contender, *RACERS), partial(live, rows=sizes.live), sizes.warm_rows)
    return Scenario("live", "Live", about, shown, (case,))


def _slow(sizes: Sizes, slow: Sequence[Callable[[], Contender]]) -> Scenario:
    about = "The same with fewer rows, for those that take long."
    cases = [
        Case(f"{rows:,} rows", (Snk, make), partial(live, rows=rows), sizes.warm_rows)
        for make in slow
        for rows in ((sizes.slow,) if make is Original else sizes.steady)
    ]
    shown = (RATE, Shown("percent_at_stop", "% there when TST stops", 2), Shown("drain_seconds", "the rest after s", 2))
    return Scenario("slow", "Live, against others", about, (*shown, LOST), cases)


def _catch_up(sizes: Sizes) -> Scenario:
    about = "Rows wait, inserted a thousand a transaction; then rows per second until both sides hold them."
    half, warm = sizes.waiting // 2, sizes.warm_rows
    cases = (
        Case(f"{sizes.waiting:,} rows on one side", RACERS, partial(catch_up, rows=(sizes.waiting, 0)), warm),
        Case(f"{half:,} rows on each side", RACERS, partial(catch_up, rows=(half, half)), warm),
    )
    return Scenario("catch-up", "Catch-up", about, (RATE, LOST), cases)


def _idle(sizes: Sizes) -> Scenario:
    about = "A lone row into an idle pair, from its commit until it is seen on the other side."
    case = Case(
        f"{sizes.lone} rows each way",
        RACERS,
        partial(latency.idle, rows=sizes.lone, idle_seconds=sizes.idle_seconds),
        sizes.warm_rows,
    )
    return Scenario("latency", "Latency", about, (*_percentiles(), LOST), (case,))


def _loaded(sizes: Sizes) -> Scenario:
    about = "The same while TST loads both sides without pause."
    case = Case(f"{sizes.lone} rows each way", RACERS, partial(latency.loaded, rows=sizes.lone), sizes.warm_rows)
    return Scenario("latency-under-load", "Latency under load", about, (*_percentiles(), LOST), (case,))


def _scale(sizes: Sizes) -> Scenario:
    about = (
        "Catch-up and load where tables hold much already, of many tables, and of wide rows. Of fewer rows than above,"
        " and at other times: compare within a case, and cases with their neighbours."
    )
    more = sizes.more
    tables = [
        Case(
            f"{count} table{'s' if count > 1 else ''}",
            RACERS,
            partial(spread, rows=more, tables=[f"t{at}" for at in range(count)]),
            sizes.warm_rows,
        )
        for count in sizes.tables
    ]
    wide = [
        Case(
            f"rows of {size} bytes",
            RACERS,
            partial(spread, rows=min(more, WIDE_BYTES // size), data_bytes=size),
            sizes.warm_rows,
        )
        for size in sizes.wide
    ]
    cases: tuple[Runnable, ...] = (*(Grown(held, more, sizes.warm_rows) for held in sizes.held), *tables, *wide)
    shown = (RATE, Shown("live_rows_per_second", "live rows/s", compared=True), LOST, PEAK)
    return Scenario("scale", "Scale", about, shown, cases)


def _tables(sizes: Sizes) -> Scenario:
    about = (
        "Tables that hold nothing, of which one at a time gets a row; then one of them is loaded on both sides, and"
        " then all. `max_connections` is 100, and applications hold ten. The servers' share is that of one of the two."
    )
    shown = (
        Shown("up_seconds", "all flow after s", 1, less=True),
        Shown("connections", "connections"),
        Shown("idle_own_percent", "idle % of a core", 1),
        Shown("idle_server_percent", "idle server %", 1),
        Shown("p50_ms", "p50 ms", 1),
        Shown("p99_ms", "p99 ms", 1),
        Shown("one_rows_per_second", "rows/s into one"),
        Shown("all_rows_per_second", "rows/s into all"),
        PEAK,
        Shown("loaded_peak_mib", "under load"),
        LOST,
    )
    cases = [
        Case(
            f"{count:,} table{'s' if count > 1 else ''}",
            (Snk,),
            partial(many, sized=Sized(count, 5 * sizes.lone, sizes.more, sizes.idle_seconds)),
            sizes.warm_rows,
        )
        for count in sizes.many
    ]
    return Scenario("tables", "Many tables", about, shown, cases)


def _verify(sizes: Sizes) -> Scenario:
    about = (
        "Seconds of the whole process, from its start to its end, to compare both sides. Nobody writes. *snk*: with"
        " `--settle 0`; by default it looks for five seconds more whether what differs stays so. *reladiff*: as it"
        " comes, 32 ranges and one thread; and with other settings, which of many were the fastest on small tables."
    )
    shown = (Shown("seconds", "s", 2, less=True, compared=True), Shown("wrong", "wrong answers"))
    return Scenario("verify", "Verify", about, shown, [Verified(*sized) for sized in sizes.verified])


def _resync(sizes: Sizes) -> Scenario:
    about = (
        "Seconds of the whole process, from its start to its end, to check that the counters of one project are what"
        " its rows say; and how long another client of Redis waited meanwhile for one of its GETs, at worst and in 999"
        " of 1000 cases. *nobody*: that client alone."
    )
    shown = (
        Shown("seconds", "s", 2, less=True, compared=True),
        Shown("wait_ms", "longest wait ms", 2),
        Shown("usual_wait_ms", "wait ms, p99.9", 2),
        Shown("wrong", "wrong answers"),
    )
    return Scenario("resync", "Re-sync", about, shown, [Counted(*sizes.counted)])


def _handoff(sizes: Sizes) -> Scenario:
    lines, logs, waiting, waiting_logs, seconds = sizes.missed
    about = (
        "Lines of 200 bytes replayed to one backend, 32 at once, per second between the first and the last request that"
        " arrived. *bare loop*: the same bodies posted with the same library, without logs, order or account. Then what"
        " the sync server takes while very many lines wait and are sent, and while none is there."
    )
    shown = (
        Shown("lines_per_second", "lines/s", compared=True),
        Shown("peak_mib", "peak MiB"),
        Shown("core_percent", "% of a core", 2),
        Shown("wrong", "wrong"),
    )
    return Scenario("handoff", "Hand-off", about, shown, [Replay(lines, logs), Waiting(waiting, waiting_logs, seconds)])


def _pipeline(sizes: Sizes) -> Scenario:
    records, frames, large, seconds = sizes.framed
    about = (
        "Records of about 130 bytes pushed one by one, and frames of them pulled, per second between the first and the"
        " last request that arrived. *bare loop*: the same requests by the same library, without files, order or"
        " account; it does not read what it gets. Frames are pulled from a source that answers from memory, and from"
        " `snk serve`, which reads them from a database. Then the memory for one large frame, pushed in batches of 100,"
        " and what it takes to wait for frames."
    )
    shown = (
        Shown("per_second", "records/s or frames/s", compared=True),
        Shown("peak_mib", "peak MiB"),
        Shown("core_percent", "% of a core", 2),
        Shown("wrong", "wrong"),
    )
    at_once = (1, 4)
    pulled = Pulled(frames, 1000, at_once), Pulled(10 * frames, 10, at_once)
    served = [Served(frames, 1000, 4, apart) for apart in (False, True)[: len(os.sched_getaffinity(0))]]
    cases: tuple[Runnable, ...] = (Pushed(records, (1, 16)), *pulled, *served, Large(large), Idle(seconds))
    return Scenario("pipeline", "Pipeline", about, shown, cases)


def _batch(sizes: Sizes) -> Scenario:
    tasks, finished, records, messages = sizes.batched
    about = (
        "A platform whose tasks are all due at one moment, on a database without and with very many finished runs:"
        " seconds until the last consumer was called, by one node, and by a worker of procrastinate, which keeps less"
        " account. Messages, one at a time: milliseconds until a consumer is called. A consumer that loads five files"
        " from `snk serve`, merges them by key and proves that they are the provider's; dlt loads the same pages, and"
        " proves nothing."
    )
    shown = (
        Shown("started_seconds", "all called after s", 1, less=True),
        Shown("per_second", "calls/s"),
        Shown("own_cpu", "own CPU s", 1),
        Shown("median_ms", "called after ms", 1, less=True),
        Shown("p95_ms", "p95", 1, less=True),
        Shown("records_per_second", "records/s", compared=True),
        LOST,
    )
    return Scenario("batch", "Batch", about, shown, (Due(tasks, (0, finished)), Sent(messages), Loaded(records)))


def _limit(sizes: Sizes) -> Scenario:
    about = (
        "What the servers can insert at best, with nobody to sync them. COPY to each server is the ceiling of it all."
    )
    return Scenario(
        "limit", "Limit", about, (Shown("rows_per_second", "rows/s"),), (Limit(sizes.waiting, sizes.warm_rows),)
    )


def _cost() -> Scenario:
    about = (
        "What the runs above used: processor time of the contender's own processes and of both servers, per million"
        " rows; bytes over the network, with TST's where it loads; memory; and what it takes to do nothing. Native has"
        " no processes of its own: all it does is in the servers."
    )
    shown = (
        Shown("own_cpu", "own CPU s", 2),
        Shown("server_cpu", "servers' CPU s", 2),
        Shown("wire_bytes", "bytes per row"),
        PEAK,
        Shown("idle_own_percent", "own % of a core, idle", 1),
        Shown("idle_server_percent", "servers' % of a core, idle", 1),
    )
    return Scenario("cost", "Cost", about, shown, gathers=("live", "slow", "catch-up", "latency"))


def _percentiles() -> tuple[Shown, ...]:
    return tuple(
        Shown(f"p{percent}_{way}_ms", f"p{percent} {words}, ms", 1, less=True, compared=percent == 50)  # noqa: PLR2004
        for way, words in (("there", "first→second"), ("back", "second→first"))
        for percent in (50, 90, 99)
    )
