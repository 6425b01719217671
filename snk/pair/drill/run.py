"""The drill itself: load and watch run throughout, and the faults are inflicted one after another.

After each fault, the writers pause until both sides match the books exactly. So a lost or duplicated row is attributed
to the fault that caused it, and every fault begins with an intact pair.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from snk.db.server import Server
from snk.errors import ServersUnfit, SnkError
from snk.pair.drill import table
from snk.pair.drill.board import Board
from snk.pair.drill.books import Books, Findings
from snk.pair.drill.fault import Fault
from snk.pair.drill.load import Load
from snk.pair.drill.report import Outcome, Result, Verdict
from snk.pair.drill.stage import NotSeen, Place, Stage, until
from snk.pair.drill.watch import CanaryWatch

CALM_SECONDS = 0.5
SETTLE_SECONDS = 10.0
LOOK_SECONDS = 0.05


@dataclass(slots=True)
class Turn:
    """What is known about a fault so far."""

    began: float = 0.0
    healing: float = 0.0
    recovered: float = 0.0
    seen: str = ""
    trouble: str = ""
    verdict: Verdict = "held"

    def failed(self, verdict: Verdict, error: Exception) -> None:
        """Record a failure; only the first one counts."""
        if not self.trouble:
            self.verdict, self.trouble = verdict, f"{verdict}: {error}"

    def saw(self, words: str) -> None:
        """Add to what was observed."""
        self.seen = "; ".join(part for part in (self.seen, words) if part)


class Drill:
    """One drill."""

    def __init__(self, place: Place, faults: Sequence[Fault], seconds: float, board: Board) -> None:
        self._place = place
        self._faults = faults
        self._seconds = seconds
        self._board = board
        self._books = Books()
        self._watch = CanaryWatch(place.sides)
        self._load = Load(place.sides, self._books, self._watch)
        self._stage = Stage(place, self._load, self._watch)
        self._outcomes: list[Outcome] = []
        self._findings = Findings()
        self._began = time.monotonic()

    async def run(self) -> None:
        """Inflict all faults; `result` returns the outcomes, also if this was cancelled.

        Raises:
            SnkError: the drill could not begin.
        """
        async with self._tables(), self._running():
            for fault in self._faults:
                self._board.begins(fault)
                outcome = await self._one(fault)
                self._outcomes.append(outcome)
                self._board.ended(outcome)

    def result(self) -> Result:
        """The result so far."""
        return Result(
            tuple(self._outcomes),
            len(self._books.committed),
            self._findings,
            time.monotonic() - self._began,
            complete=len(self._outcomes) == len(self._faults),
        )

    def kill_daemons(self) -> None:
        """Kill daemons that may still run after the drill was interrupted; SIGKILL also ends a stopped one."""
        for daemon in self._stage.daemons:
            daemon.child.kill()

    @asynccontextmanager
    async def _tables(self) -> AsyncIterator[None]:
        """Create the table on both sides. At the end, drop it and what SNK knows about it, if the servers remain."""
        made: list[tuple[Server, str]] = []
        try:
            for side in self._place.sides:
                made.append((side, await table.make(side)))  # noqa: PERF401 - a table made before a failure counts
            yield
        finally:
            if not self._place.pair:
                for side, name in made:
                    await table.forget(side, name)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        """Run the network, daemon, writers and watch for the duration of the block."""
        stage = self._stage
        async with stage.cleanup:
            await stage.open_network()
            try:
                stage.start_daemon()
                await self._until_flowing()
                async with asyncio.TaskGroup() as group:
                    tasks = [*self._load.start(group), *self._watch.start(group)]
                    yield
                    for task in tasks:
                        task.cancel()
            finally:
                await stage.end_daemons()

    async def _until_flowing(self) -> None:
        try:
            await self._stage.leader()
        except NotSeen as error:
            raise ServersUnfit(f"The daemon does not start: {await self._stage.last_words()}") from error

    async def _one(self, fault: Fault) -> Outcome:
        """Run one fault, from a quiet pair to a quiet pair."""
        if reason := fault.impossible(self._stage):
            return Outcome(fault.name, fault.sentence, "skipped", seen=reason)
        before = len(self._books.committed)
        self._watch.reset()
        turn = Turn()
        await self._inflict(fault, turn)
        await self._recover(fault, turn)
        found = await self._settle(turn)
        new = found.without(self._findings)
        self._findings = found
        if turn.trouble:
            turn.trouble += f"\n{await self._stage.last_words()}"
            await self._stage.restore()
        elif not new.clean:
            turn.verdict = "rows lost" if new.lost else "rows doubled"
            turn.trouble = _named(new)
        return Outcome(
            fault.name,
            fault.sentence,
            turn.verdict,
            seen=turn.seen,
            trouble=turn.trouble,
            rows_committed=len(self._books.committed) - before,
            rows_lost=len(new.lost),
            rows_doubled=new.doubled,
            longest_delay_seconds=max(self._watch.longest_seconds, self._watch.waiting_seconds),
            fault_seconds=turn.healing - turn.began,
            recovery_seconds=turn.recovered - turn.healing,
        )

    async def _inflict(self, fault: Fault, turn: Turn) -> None:
        """Load the pair for a moment, inflict the fault, and let it last."""
        self._board.says("calm")
        self._load.resume()
        await asyncio.sleep(CALM_SECONDS)
        self._board.says("it happens")
        turn.began = time.monotonic()
        try:
            await self._stage.leader()
            turn.began = time.monotonic()
            turn.saw(await fault.inflict(self._stage))
            self._board.says(turn.seen)
            await asyncio.sleep(self._seconds - (time.monotonic() - turn.began))
        except (NotSeen, SnkError) as error:
            turn.failed("not inflicted", error)

    async def _recover(self, fault: Fault, turn: Turn) -> None:
        """End the fault, and wait until everything committed by then has arrived; the writers continue."""
        self._board.says("it ends")
        turn.healing = time.monotonic()
        try:
            turn.saw(await fault.heal(self._stage))
            await self._stage.leader()

            async def arrived() -> bool:
                return self._watch.arrived_until(turn.healing)

            with suppress(NotSeen):  # the books will show which rows are missing
                await until(arrived, "the rows that were committed meanwhile have arrived")
        except (NotSeen, SnkError) as error:
            turn.failed("not healed", error)
        turn.recovered = time.monotonic()
        if not turn.trouble:
            await asyncio.sleep(CALM_SECONDS)

    async def _settle(self, turn: Turn) -> Findings:
        """Pause the writers, and wait until both sides match the books.

        Returns:
            Where they do not match, once nothing has changed for some seconds.
        """
        self._board.says("both sides are compared with the books")
        await self._load.rest()
        found, counted, changed = self._findings, (-1, -1), time.monotonic()
        try:
            while True:
                first, second = await asyncio.gather(*map(table.count, self._place.sides))
                if (first, second) != counted:
                    counted, changed = (first, second), time.monotonic()
                given_up = time.monotonic() - changed > SETTLE_SECONDS
                # Reading every row is expensive, so wait until the sides can match; rows lost earlier stay lost.
                if given_up or not self._findings.clean or first == second >= len(self._books.committed):
                    found = self._books.check(await asyncio.gather(*map(table.look, self._place.sides)))
                    if given_up or found.without(self._findings).clean:
                        return found
                await asyncio.sleep(LOOK_SECONDS)
        except SnkError as error:
            turn.failed("not healed", error)
            return found


def _named(new: Findings) -> str:
    """Some of the rows, by uuid."""
    words = []
    for what, uuids in (("lost", new.lost), ("committed by nobody", new.foreign)):
        if uuids:
            words.append(f"{what}: {', '.join(sorted(uuids)[:3])}{' ...' if len(uuids) > 3 else ''}")  # noqa: PLR2004
    return "; ".join(words)
