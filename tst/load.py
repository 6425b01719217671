"""The endless loop: each turn a side picked at random, a batch of random rows, one transaction, no sleep.

What happens when a server goes away
    The other side is loaded on, so that a pair under test keeps moving while one of its servers is down; only with both
    down does the loop wait. Behind the loop, the batch that was under way is settled: inserted again, with backoff,
    until the server takes it or objects that its uuids are there, which means that the COMMIT whose answer was lost had
    been carried out. Then the side joins in again. So a batch is never twice in a table, it is counted when it is known
    to be committed and only then, and every row that was drawn ends up committed.

Before the first row
    Servers that cannot be reached and tables that do not exist are waited for, since a whole deployment starts in no
    particular order; after a while it is an error.
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
# After a stop, for the batch in hand: what one waits gladly for.
STOP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Order:
    """What to load.

    Attributes:
        rows: to commit in all; None for no end.
        batch_rows: in one transaction; the last one may be shorter.
        seed: the same seed gives the same rows, in the same order; None for different rows every time.
        wait_seconds: for how long servers and tables that are not there are waited for at the start.
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
        say: is given one line when something happens that a person should know.

    Attributes:
        committed: rows known to be committed, by the label of their side.
        in_doubt: rows sent and not settled when the run was stopped: they may be committed or not.
        seconds: how long the loading took, once run() has returned.
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
        # A source of its own: the rows stay the same when a server that is down changes the turns.
        self._turns = Random(order.seed)  # noqa: S311 - as above
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._deadline = asyncio.timeout(None)

    async def run(self) -> None:
        """Load until all ordered rows are committed, or stop() is called.

        Raises:
            TstError: a person has to change something first; ``committed`` stays right.
        """
        started = time.monotonic()
        try:
            async with self._deadline, asyncio.TaskGroup() as settling:
                for side in self._sides:
                    await self._wait_until_ready(side, started + self._order.wait_seconds)
                started = time.monotonic()
                await self._loop(settling)
        except TimeoutError:
            pass  # stopped, and the batch in hand did not end in time
        except ExceptionGroup as group:
            raise group.exceptions[0] from group
        finally:
            self.seconds = time.monotonic() - started
            self.in_doubt = self._drawn - sum(self.committed.values())
            self._stopping.set()

    def stop(self) -> None:
        """End the run after the batch in hand, and in any case within STOP_SECONDS."""
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
        """Rows in the next batch, 0 when all are drawn. Every drawn row is committed in the end."""
        if self._order.rows is None:
            return self._order.batch_rows
        return min(self._order.batch_rows, self._order.rows - self._drawn)

    async def _some_side_is_up(self) -> bool:
        """Wait for a side to be up; False when the run is to stop."""
        while not self._up and not self._stopping.is_set():
            self._changed.clear()
            await self._changed.wait()
        return not self._stopping.is_set()

    async def _settle(self, side: Side, batch: Batch, error: Unavailable) -> None:
        """Get the batch into the side, exactly once, and the side back into the loop."""
        self._say(f"{error}; its batch is kept and tried again")
        pause = FIRST_PAUSE_SECONDS
        while not await self._stopped_within(pause):
            try:
                await side.insert(batch)
            except Unavailable:
                pause = min(2 * pause, MOST_PAUSE_SECONDS)
                continue
            except RowsPresent:
                pass  # it had been committed, and only the answer was lost
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
        """Sleep, and wake at once when the run is to stop: True then."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True
