"""The endless loop: each turn inserts a batch of random rows into a side picked at random, in one transaction.

What happens when a server goes away
    The loop continues with the other side, so that a pair under test keeps moving while one of its servers is down. The
    loop waits only while both are down. A background task settles the batch that was in progress: it inserts the batch
    again, with backoff, until the server accepts it or reports that its uuids exist. The latter means that the COMMIT
    whose answer was lost had succeeded. Then the side joins the loop again. So a batch is never in a table twice, it is
    counted only when it is known to be committed, and every row that was drawn ends up committed.

Before the first row
    TST waits for servers that cannot be reached and tables that do not exist, because the parts of a deployment start
    in no particular order. After a time limit this is an error.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tst.errors import RowsPresent, Stop, TableMissing, TstError, Unavailable
from tst.rows import Batch, random_batch
from tst.side import Side

FIRST_PAUSE_SECONDS = 0.1
MOST_PAUSE_SECONDS = 2.0
# Time limit for the batch in progress after a stop: as long as a person is willing to wait.
STOP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Order:
    """What to load.

    Attributes:
        rows: total rows to commit; None for no end.
        batch_rows: rows per transaction; the last one may be shorter.
        seed: the same seed gives the same rows, in the same order; None for different rows every time.
        wait_seconds: how long to wait at the start for missing servers and tables.
    """

    rows: int | None = None
    batch_rows: int = 1000
    seed: int | None = None
    wait_seconds: float = 60.0


class Load:
    """One run of the loop.

    Args:
        sides: what to load.
        order: how much of it.
        say: called with one line when something happens that a person should know.

    Attributes:
        committed: rows known to be committed, per label of the side.
        in_doubt: rows sent and not settled when the run stopped: they may be committed or not.
        seconds: how long the load took; set when run() has returned.
    """

    def __init__(self, sides: tuple[Side, ...], order: Order, say: Callable[[str], None]) -> None:
        self.committed = {side.label: 0 for side in sides}
        self.in_doubt = 0
        self.seconds = 0.0
        self._sides = sides
        self._up = list(sides)
        self._order = order
        self._say = say
        self._drawn = 0
        self._rows = Random(order.seed)  # noqa: S311 - these are test data, not secrets
        # A separate generator: the rows stay the same when a server that is down changes the turns.
        self._turns = Random(order.seed)  # noqa: S311 - as above
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._deadline = asyncio.timeout(None)

    async def run(self) -> None:
        """Load until all ordered rows are committed, or stop() is called.

        Raises:
            TstError: a person has to change something first; ``committed`` is still correct.
        """
        started = time.monotonic()
        try:
            async with self._deadline, asyncio.TaskGroup() as settling:
                for side in self._sides:
                    await self._wait_until_ready(side, started + self._order.wait_seconds)
                started = time.monotonic()
                await self._loop(settling)
        except TimeoutError:
            pass  # stopped, and the batch in progress did not end in time
        except ExceptionGroup as group:
            raise group.exceptions[0] from group
        finally:
            self.seconds = time.monotonic() - started
            self.in_doubt = self._drawn - sum(self.committed.values())
            self._stopping.set()

    def stop(self) -> None:
        """End the run after the batch in progress, and within STOP_SECONDS in any case."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._changed.set()
            self._deadline.reschedule(asyncio.get_running_loop().time() + STOP_SECONDS)

    async def _loop(self, settling: asyncio.TaskGroup) -> None:
        while (rows := self._rows_due()) and await self._some_side_is_up():
            side = self._turns.choice(self._up)
            batch = random_batch(self._rows, rows)
            self._drawn += rows
            try:
                await side.insert(batch)
            except Unavailable as error:
                self._up.remove(side)
                settling.create_task(self._settle(side, batch, error))
            except TstError:
                self._drawn -= rows  # refused, so known not to be committed
                raise
            else:
                self.committed[side.label] += rows

    def _rows_due(self) -> int:
        """The number of rows in the next batch, 0 when all are drawn. Every drawn row is committed in the end."""
        if self._order.rows is None:
            return self._order.batch_rows
        return min(self._order.batch_rows, self._order.rows - self._drawn)

    async def _some_side_is_up(self) -> bool:
        """Wait for a side to be up; False when the run must stop."""
        while not self._up and not self._stopping.is_set():
            self._changed.clear()
            await self._changed.wait()
        return not self._stopping.is_set()

    async def _settle(self, side: Side, batch: Batch, error: Unavailable) -> None:
        """Insert the batch into the side exactly once, and return the side to the loop."""
        self._say(f"{error}; its batch is kept and tried again")
        pause = FIRST_PAUSE_SECONDS
        while not await self._stopped_within(pause):
            try:
                await side.insert(batch)
            except Unavailable:
                pause = min(2 * pause, MOST_PAUSE_SECONDS)
                continue
            except RowsPresent:
                pass  # it was committed, and only the answer was lost
            self.committed[side.label] += len(batch)
            self._say(f"{side.name} is back")
            self._up.append(side)
            self._changed.set()
            return

    async def _wait_until_ready(self, side: Side, give_up: float) -> None:
        said = ""
        while not self._stopping.is_set():
            try:
                return await side.check()
            except (Unavailable, TableMissing) as error:
                if time.monotonic() >= give_up:
                    raise Stop(f"{error} (waited for {self._order.wait_seconds:g} s)") from error
                if str(error) != said:
                    said = str(error)
                    self._say(f"{said}; waiting for it")
            await self._stopped_within(FIRST_PAUSE_SECONDS)
        return None

    async def _stopped_within(self, seconds: float) -> bool:
        """Sleep, but wake at once when the run must stop; then return True."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True
