"""The whole demo: the clients write, the faults happen, and then everything is compared."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from snk.board import Board
from snk.core.words import counted
from snk.embedded.programs import until
from snk.handoff.dead import DeadLetters
from snk.handoff.demo.faults import Faults
from snk.handoff.demo.stage import DATABASES, FRONT, LAST, LAST_SECONDS, SETTINGS, SYNC, Stage
from snk.handoff.demo.watch import Watch
from snk.handoff.demo.writer import Known, Place, Writer
from snk.handoff.reference_data import Data, Entry
from snk.handoff.state import State

SETTLE_SECONDS = 60.0
SEEN_SECONDS = 1.5 * SETTINGS["checklog_interval_ms"] / 1000
"""After so long the sync server has seen every line."""
SHOWN = 3
"""Differences of one database that are named."""


@dataclass(slots=True)
class Result:
    """What came of it.

    Attributes:
        written: how many writes the front said are written.
        handed_off: how many of them a backend missed.
        lines: how many lines were logged: one for each backend that missed a write, or may have missed it.
        sent_again: writes that the clients sent again, because they were not told that they are written.
        synced: how many lines the sync server counted as done; those of the last moment before it was killed are not
            in it, and lines that it sent twice are in it twice.
        unknown: answers that were lost on their way to the front, to the clients or to the sync server, so that nobody
            knows whether the write was made.
        dead: dead letters.
        keys: how many keys were written.
        digests: of the databases, by their names.
        waited: how many lines waited, by fault.
        amiss: whatever is not as it should be.
    """

    written: int = 0
    handed_off: int = 0
    lines: int = 0
    sent_again: int = 0
    synced: int = 0
    unknown: int = 0
    dead: int = 0
    keys: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    waited: dict[str, int] = field(default_factory=dict)
    amiss: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether both backends hold the same."""
        return len(self.digests) == len(DATABASES) and len(set(self.digests.values())) == 1

    @property
    def document(self) -> dict[str, Any]:
        """All of it."""
        return {"equal": self.equal, **asdict(self)}


async def play(stage: Stage, board: Board, seconds: float) -> Result:
    """Run the demo on a stage; the clients write for so many seconds."""
    writer, watch = Writer(stage.addresses[FRONT]), Watch(stage.addresses[SYNC])
    faults = Faults(stage, watch, board)
    board.say(f"what happens, in a browser: http://{stage.addresses[SYNC]}/")
    showing = asyncio.create_task(board.show(lambda: _numbers(writer, watch)))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(writer.run())
            await faults.run(seconds)
            writer.stop()
        amiss = [*writer.amiss, *faults.amiss, *await _settled(stage, watch)]
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
        board.clear()
        await watch.close()
    board.say("a last run, whose clock is three minutes ahead, deletes the logs of the last minute")
    amiss += await _ended(stage)
    result = Result(
        written=writer.written,
        handed_off=writer.handed_off,
        lines=writer.missed.total() + len(stage.backends) * writer.perhaps,
        sent_again=writer.again,
        synced=watch.count("synced"),
        unknown=writer.perhaps + writer.lost + watch.count("unknown"),
        keys=len(writer.books),
        waited=faults.waited,
        amiss=amiss,
    )
    board.say(f"the databases are compared with what was written to {counted(result.keys, 'key')}")
    await compare(stage.urls, writer.books, result)
    _count_dead(stage, result)
    return result


async def _numbers(writer: Writer, watch: Watch) -> str:
    await watch.look()
    waiting = "(no sync server)" if watch.waiting is None else f"{sum(watch.waiting.values()):,} wait"
    return (
        f"{writer.written:7,} written  {writer.handed_off:7,} handed off"
        f"  {watch.count('synced'):7,} lines synced  {waiting}"
    )


async def _settled(stage: Stage, watch: Watch) -> list[str]:
    """Wait until the sync server says that no line waits; return what is amiss."""
    await asyncio.sleep(SEEN_SECONDS)

    async def nothing_waits() -> bool:
        waiting = await watch.look()
        return set(waiting) == set(stage.backends) and not any(waiting.values())

    if await until(nothing_waits, SETTLE_SECONDS):
        return []
    return [f"lines still wait: {watch.waiting}; the sync server said last:\n{stage.processes.last_lines(SYNC)}"]


async def _ended(stage: Stage) -> list[str]:
    """Stop the sync server, and let a last one delete the logs; return what is amiss."""
    amiss = []
    if (code := await stage.processes.stop(SYNC)) != 0:
        amiss.append(f"the sync server ended with {code}; it said last:\n{stage.processes.last_lines(SYNC)}")
    stage.start(LAST)
    if (code := await stage.processes.ended(LAST, LAST_SECONDS)) != 0:
        amiss.append(f"the last run ended with {code}; it said last:\n{stage.processes.last_lines(LAST)}")
    if left := sorted(str(path.relative_to(stage.logs)) for path in stage.logs.glob("*/*")):
        amiss.append(f"logs are left: {', '.join(left)}")
    return amiss


async def compare(urls: Sequence[str], books: Mapping[Place, Known], result: Result) -> None:
    """Compare the databases with each other, and with the books."""
    for name, url in zip(DATABASES, urls, strict=True):
        data = Data(url)
        try:
            result.digests[name] = await data.digest()
            found = await data.entries()
        finally:
            await data.close()
        wrong = [place for place in books.keys() | found.keys() if not _same(books.get(place), found.get(place))]
        if wrong:
            some = "; ".join(_told(place, books.get(place), found.get(place)) for place in sorted(wrong)[:SHOWN])
            result.amiss.append(f"{name} differs from what was written at {counted(len(wrong), 'key')}: {some}")
    if not result.equal:
        result.amiss.append("the two backends differ")


def _count_dead(stage: Stage, result: Result) -> None:
    letters = [letter for _, letter in DeadLetters(State(stage.state).dead).all()]
    result.dead = len(letters)
    if letters:
        result.amiss.append(f"there are {counted(len(letters), 'dead letter')}, such as: {letters[0].reason}")


def _same(known: Known | None, entry: Entry | None) -> bool:
    if known is None or entry is None:
        return False
    return (entry.version, entry.value, entry.score) == (known.version, known.value, known.score)


def _told(place: Place, known: Known | None, entry: Entry | None) -> str:
    table, key = (part.decode(errors="backslashreplace") for part in place)
    there, written = (f"version {each.version}" if each else "nothing" for each in (entry, known))
    return f"{key!r} in {table or 'no table'} has {there}, and {written} was written"
