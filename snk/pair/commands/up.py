"""``snk up``: run the servers, the daemon and the load, and show progress on the terminal."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.live import Live

from snk.db.server import Server
from snk.embedded.process import Child, free_port
from snk.embedded.state import default_state
from snk.errors import ServersUnfit
from snk.log import configure_log
from snk.pair.commands.common import waiting
from snk.pair.commands.view import PairSnapshot, line, panel
from snk.pair.core.report import DaemonStatus
from snk.pair.core.selection import Selection
from snk.pair.programs import environment, start_daemon, start_tst
from snk.pair.servers import EmbeddedPair, embedded_pair
from snk.pair.settings import load_settings
from snk.pair.status.ask import ask, daemon_url
from snk.pair.sync.matching import fitting
from snk.pair.sync.pair import Pair
from snk.pair.table.count import count_rows
from snk.pair.verify.compare import Comparison, compare
from snk.pair.verify.search import KINDS, LOOK_AGAIN, Progress
from snk.pause import pause
from snk.signals import end_undisturbed, interruptible, when_told_to_stop

LOOK_SECONDS = 0.5
SETTLE_SECONDS = 10.0
START_SECONDS = 60.0
STOP_SECONDS = 30.0
# Counting a large table is expensive; at most this share of the time is spent on it.
COUNTING_SHARE = 0.2


def up(
    *,
    rows: Annotated[int | None, typer.Option(min=1, help="Stop the load after this many rows.")] = None,
    tst: Annotated[bool, typer.Option("--tst/--no-tst", help="Run the load generator, or not.")] = True,
    state: Annotated[Path | None, typer.Option(help="Folder in which the servers keep their data.")] = None,
) -> None:
    """Run everything on embedded servers.

    Starts two PostgreSQL servers and a Valkey server, loads them with TST, and keeps them equal with SNK.
    At the end, both sides are verified.

    Ctrl-C ends the load; work in progress is finished and verified first. Exit code 0 only if both sides are equal.
    """
    settings = load_settings()
    configure_log(settings.snk_log_format, "warning")
    password = settings.postgres_password.get_secret_value()
    servers = embedded_pair(state or default_state(), user=settings.postgres_user, password=password)
    with interruptible(), servers as pair:
        job = Job(pair, settings.selection, rows, settings.http_token)
        try:
            equal = uvloop.run(job.run(load=tst))
        finally:
            end_undisturbed()
    raise typer.Exit(0 if equal else 1)


class Job:
    """One run: the daemon and the load as child processes, and the code that watches them."""

    def __init__(self, pair: EmbeddedPair, selection: Selection, rows: int | None, token: str | None) -> None:
        self._pair = pair
        self._selection = selection
        self._tables = selection.exact
        self._rows = rows
        self._token = token
        self._http_port = free_port()
        self._sides = (Server("first", pair.first.dsn), Server("second", pair.second.dsn))
        self._stop = asyncio.Event()
        self._started = time.monotonic()
        self._counted: tuple[int | None, int | None] = (None, None)
        self._before = 0
        self._count_again = 0.0
        self._console = Console(highlight=False)

    async def run(self, *, load: bool) -> bool:
        """Run until the load has ended or the run is stopped.

        Returns:
            Whether both sides are equal at the end.
        """
        when_told_to_stop(self._stop.set)
        values = environment(self._pair, self._http_port)
        daemon = start_daemon(self._pair, values)
        self._console.print(f"portal  http://127.0.0.1:{self._http_port}/", soft_wrap=True)
        tst = None
        try:
            await self._until_healthy(daemon)
            if not self._selection.plain:
                self._tables = (await fitting(Pair(*self._sides, ()), self._selection)).tables
            self._introduce(load=load)
            if load:
                self._before = min(await self._counts())
                tst = start_tst(self._pair, values, self._rows)
            self._started = time.monotonic()
            await self._watch(daemon, tst)
            if tst:
                await self._end_load(tst)
            equal = await self._verify()
        finally:
            for child in (tst, daemon):
                if child:
                    await asyncio.to_thread(child.end, signal.SIGTERM, STOP_SECONDS)
        if daemon.exit_code:
            raise ServersUnfit(f"The daemon ended with exit code {daemon.exit_code}:\n{daemon.last_lines()}")
        return equal

    def _introduce(self, *, load: bool) -> None:
        say = self._console.print
        say(f"first   {self._pair.first.dsn}", soft_wrap=True)
        say(f"second  {self._pair.second.dsn}", soft_wrap=True)
        say(f"log     {self._pair.state / 'daemon.log'}", soft_wrap=True)
        if not load:
            say("Insert into either side. Ctrl-C verifies both sides and stops.")

    async def _until_healthy(self, daemon: Child) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not (status := await self._ask()) or not status.healthy:
            if not daemon.running or time.monotonic() > deadline:
                raise ServersUnfit(f"The daemon does not start; {daemon.log} ends with:\n{daemon.last_lines()}")
            await asyncio.sleep(0.05)

    async def _watch(self, daemon: Child, tst: Child | None) -> None:
        """Show the pair until the load has ended, the daemon has died, or the run is stopped."""
        with self._shown() as show:
            while not self._stop.is_set() and daemon.running and (tst is None or tst.running):
                show(await self._look())
                await pause(self._stop, LOOK_SECONDS)

    async def _look(self) -> PairSnapshot:
        status, _ = await asyncio.gather(self._ask(), self._count())
        return PairSnapshot(time.monotonic() - self._started, self._counted, status)

    @contextmanager
    def _shown(self) -> Iterator[Any]:
        """A panel that is redrawn on a terminal; one line per second elsewhere."""
        if self._console.is_terminal:
            with Live(console=self._console, auto_refresh=False, transient=True) as live:
                yield lambda snapshot: live.update(panel(snapshot, "snk up"), refresh=True)
            return
        looks = 0

        def show(snapshot: PairSnapshot) -> None:
            nonlocal looks
            looks += 1
            if looks % 2:
                self._console.print(line(snapshot), soft_wrap=True)

        yield show

    async def _end_load(self, tst: Child) -> None:
        """Stop TST if it is still running, print its result, and print how much was on both sides at that moment."""
        await asyncio.to_thread(tst.end, signal.SIGTERM, STOP_SECONDS)
        stopped = time.monotonic()
        at_once = await self._new()
        everything = max(at_once)
        self._console.print(f"tst     {tst.last_lines()}", soft_wrap=True)
        share = _percent(min(at_once), everything)
        self._console.print(f"snk     {share}% of {everything:,} rows were on both sides when it stopped")
        counts = at_once
        while len(set(counts)) > 1 and time.monotonic() - stopped < SETTLE_SECONDS:
            counts = await self._new()
        reached = "all" if len(set(counts)) == 1 else f"{min(counts):,}"
        self._console.print(f"        {reached} of {max(counts):,} after {time.monotonic() - stopped:.2f} s")

    async def _verify(self) -> bool:
        equal = True
        for table in self._tables:
            progress = self._told_once(table)
            result = await compare(*self._sides, table, settle_seconds=SETTLE_SECONDS, progress=progress)
            self._console.print(_verdict(result), soft_wrap=True)
            equal = equal and result.equal
        if not equal:
            folder = self._pair.state
            self._console.print(
                f"        the servers keep their data in {folder}; delete it to start over", soft_wrap=True
            )
        return equal

    def _told_once(self, table: str) -> Progress:
        """Report, once, why verification takes longer, if it does."""
        told = False

        def tell(what: str, done: int, of: int) -> None:  # noqa: ARG001 - the signature of `Progress`
            nonlocal told
            if what == LOOK_AGAIN and not told:
                told = True
                self._console.print(f"verify  {waiting(table, of, SETTLE_SECONDS)}", soft_wrap=True)

        return tell

    async def _count(self) -> None:
        if time.monotonic() < self._count_again:
            return
        began = time.monotonic()
        self._counted = await self._counts()
        now = time.monotonic()
        self._count_again = now + (now - began) / COUNTING_SHARE

    async def _new(self) -> tuple[int, ...]:
        """Rows on each side that were not on both when the load began."""
        return tuple(count - self._before for count in await self._counts())

    async def _counts(self) -> tuple[int, int]:
        """Rows on each side, of all tables."""
        counted = await asyncio.gather(*(count_rows(side, table) for side in self._sides for table in self._tables))
        return sum(counted[: len(self._tables)]), sum(counted[len(self._tables) :])

    async def _ask(self) -> DaemonStatus | None:
        """The daemon's status, or None if it does not answer."""
        try:
            return await asyncio.to_thread(ask, daemon_url("127.0.0.1", self._http_port), self._token)
        except OSError:
            return None


def _percent(part: int, whole: int) -> str:
    """A percentage, rounded down: 100 means all rows."""
    return f"{10_000 * part // whole / 100 if whole else 100.0:.2f}"


def _verdict(result: Comparison) -> str:
    rows = f"{result.rows.first:,} rows in first, {result.rows.second:,} in second"
    verdict = f"verify  {result.table}: {'equal' if result.equal else 'DIFFERENT'}, {rows}"
    for kind in KINDS:
        if found := getattr(result, kind):
            verdict += f"\n        {kind.replace('_', ' ')}: {len(found):,}, such as {', '.join(found[:3])}"
    return verdict
