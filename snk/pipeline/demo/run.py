"""The whole demo: frames are pulled and pushed through all faults, and then everything is compared."""

import asyncio
import json
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from snk.board import Board
from snk.core.words import counted
from snk.embedded.programs import until
from snk.http.auth.credentials import AuthTable, Credentials
from snk.pipeline.demo import tables
from snk.pipeline.demo.faults import Faults
from snk.pipeline.demo.script import LOOKBACK_SECONDS, Script
from snk.pipeline.demo.stage import PULL, PUSH, RS, SS, Stage
from snk.pipeline.demo.watch import Watch
from snk.pipeline.demo.writer import Writer
from snk.pipeline.frame import written
from snk.pipeline.loaded import Asked
from snk.pipeline.status import Status

LATE_RECORDS = 20
SETTLE_SECONDS = 90.0
VERIFY_SECONDS = 120.0
ANSWER_SECONDS = 30.0
DAY_SECONDS = 86_400
SHOWN = 3
"""Frames that differ and are named."""


@dataclass(slots=True)
class Result:
    """What came of it.

    Attributes:
        frames: how many frames there were.
        records: how many records the receiving server acknowledged.
        late: how many of them came after their frame had been pulled.
        doubled: records that the clients sent twice on purpose; the sending server recognised them.
        ambiguous: answers of the receiving server that were lost, so that records were sent again.
        stored: records that the receiving server recognised, because it had them already.
        effects: what each fault did.
        verified: how many frames `snk pipeline verify` compared.
        digests: of all records, as each server tells it.
        amiss: whatever is not as it should be.
    """

    frames: int = 0
    records: int = 0
    late: int = 0
    doubled: int = 0
    ambiguous: int = 0
    stored: int = 0
    effects: dict[str, str] = field(default_factory=dict)
    verified: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    amiss: list[str] = field(default_factory=list)

    @property
    def document(self) -> dict[str, Any]:
        """All of it."""
        return {"equal": not self.amiss, **asdict(self)}


async def play(stage: Stage, board: Board, hours: int, seconds: float) -> Result:
    """Run the demo on a stage, with frames of so many hours; the clients write for so many seconds."""
    script = Script.of(hours, seconds)
    past = await tables.fill(stage.ends[SS].url, script.grid, script.grid.ended(time.time()))
    board.say(f"the sending server has {counted(past, 'record')} from {script.grid.iso(0)} on")
    watch, writer = Watch(stage.space(script)), Writer(stage.ends[SS].port)
    faults = Faults(stage, watch, board)
    showing = asyncio.create_task(board.show(lambda: _numbers(watch, writer)))
    try:
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(_write(watch, writer, script, faults, board))
            await stage.begin(script)
            board.say(f"pull and push work; {counted(script.frames, 'frame')} until {written(script.end)}")
            await faults.run(script.end - time.time())
        script = writing.result()
        board.say("everything works; what is left is pulled and pushed")
        amiss = [*writer.amiss, *faults.amiss, *await _settled(watch, script, board), *await _ended(stage)]
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
        board.clear()
    result = _result(await watch.look(), script, writer, faults)
    result.amiss += amiss
    await prove(stage, script, board, result)
    return result


async def _write(watch: Watch, writer: Writer, script: Script, faults: Faults, board: Board) -> Script:
    """Let the clients write until the last frame is over, and store records of it when it was pulled.

    Returns:
        The script as it was played: on a slow machine it has another frame if pull could not work when one was over.
    """
    await writer.run(script.end)
    while not faults.pull_is_safe.is_set():
        script = replace(script, frames=script.frames + 1)
        board.say(f"the faults take longer than a frame: clients write until {written(script.end)}")
        await writer.run(script.end)
    board.say("the last frame is over, and the clients end")

    async def pulled() -> bool:
        return watch.pulled(script.last)

    if await until(pulled, LOOKBACK_SECONDS):
        await writer.late(script.grid.start(script.last), script.end, LATE_RECORDS)
        board.say(f"it was pulled; {counted(LATE_RECORDS, 'record')} of its time came late")
    else:
        writer.amiss.append(f"the last frame was not pulled within {LOOKBACK_SECONDS} s, so no record can come late")
    return script


async def _settled(watch: Watch, script: Script, board: Board) -> list[str]:
    """Wait until everything is done; return what is amiss."""
    if await until(lambda: watch.all_done(script.frames, LATE_RECORDS), SETTLE_SECONDS):
        board.say("all frames are done, and found in the receiving database")
        return []
    status = watch.status
    numbers = {name: getattr(status, name) for name in ("missing", "pulled", "pushing", "accepted", "quarantined")}
    told = ", ".join(f"{count:,} {name}" for name, count in numbers.items())
    late = f"{status.late} of {LATE_RECORDS} late records were found"
    return [f"not all is done: {told}; {late}; {'; '.join(status.troubles) or 'no troubles are told'}"]


async def _ended(stage: Stage) -> list[str]:
    """Stop the pipeline; return what is amiss."""
    codes = {name: await stage.processes.stop(name) for name in (PULL, PUSH)}
    return [
        f"{name} ended with {code}; it said last:\n{stage.processes.last_lines(name)}"
        for name, code in codes.items()
        if code != 0
    ]


def _result(status: Status, script: Script, writer: Writer, faults: Faults) -> Result:
    return Result(
        frames=script.frames,
        records=status.records,
        late=status.late,
        doubled=writer.doubled,
        ambiguous=status.ambiguous,
        stored=status.stored,
        effects=faults.effects,
    )


async def prove(stage: Stage, script: Script, board: Board, result: Result) -> None:
    """Prove that both databases hold the same: by the pipeline's own command, by digests, and row by row."""
    board.say("verify compares every frame: what the source has, what is proven, and what the database holds")
    await _verify(stage, script, result)
    board.say("the digests of both servers are compared, and both databases row by row")
    for name, end in stage.ends.items():
        start, later = script.grid.iso(0), written(script.end + DAY_SECONDS)
        asked = Asked(f"{end.dataset}/digest?from={{start}}&to={{end}}", Credentials(AuthTable()), ANSWER_SECONDS)
        try:
            result.digests[name] = (await asked.digest(start, later)).hex
        finally:
            await asked.close()
    if len(set(result.digests.values())) != 1:
        result.amiss.append("the digests of both servers differ")
    sent, received = [await tables.rows_of(stage.ends[name].url) for name in (SS, RS)]
    result.amiss += tables.difference(sent, received)


async def _verify(stage: Stage, script: Script, result: Result) -> None:
    code, line = await stage.verify(script, VERIFY_SECONDS)
    try:
        told = json.loads(line)
    except ValueError:
        result.amiss.append(f"verify ended with {code}; it said last: {line}")
        return
    result.verified = told["frames"]
    if result.verified != script.frames:
        result.amiss.append(f"verify compared {result.verified:,} of {counted(script.frames, 'frame')}")
    different = told["different"]
    if different:
        signs = Counter(each["sign"] for each in different)
        some = "; ".join(f"{each['sign']} {each['frame']} {each['words']}" for each in different[:SHOWN])
        how = ", ".join(f"{count:,} {sign}" for sign, count in signs.items())
        result.amiss.append(f"verify finds that {counted(len(different), 'frame')} differ ({how}), such as: {some}")
    elif code != 0:
        result.amiss.append(f"verify ended with {code}")


async def _numbers(watch: Watch, writer: Writer) -> str:
    status = await watch.look()
    return (
        f"{writer.stored:6,} written  {status.missing:5,} frames missing  {status.pulled + status.pushing:3,} pulled"
        f"  {status.done:5,} done  {status.loaded or 0:5,} found in the database  {status.records:6,} records"
    )
