"""The whole demo: a message starts two groups; a node, a consumer and a record come to harm; all ends equal."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from snk.batch.demo import tables
from snk.batch.demo.script import CORRUPTED, END, FILES, GROUPS, MESSAGE, START, TASKS
from snk.batch.demo.stage import CONSUMERS, NODES, OK, Answer, Stage
from snk.batch.demo.watch import File, Run, Watch
from snk.batch.state import State
from snk.board import Board
from snk.core.words import counted
from snk.embedded.programs import until

SETTLE_SECONDS = 90.0
OFTEN_SECONDS = 0.02
ACCEPTED = 202
_SIGNS: dict[str, str] = {State.COMPLETED: "=", State.RECON_FAILED: "!", State.FAILED: "!"}
SIGNS_TOLD = "of each file it is shown how much has come; = after it: it equals the provider's; !: it does not"
SENT = 3
"""How often the message is sent."""


@dataclass(slots=True)
class Result:
    """What came of it.

    Attributes:
        records: how many were loaded.
        runs: the runs of tasks and groups, each with its state.
        effects: what each fault did.
        amiss: whatever is not as it should be.
    """

    records: int = 0
    runs: dict[str, str] = field(default_factory=dict)
    effects: dict[str, str] = field(default_factory=dict)
    amiss: list[str] = field(default_factory=list)

    @property
    def document(self) -> dict[str, Any]:
        """All of it."""
        return {"equal": not self.amiss, **asdict(self)}


async def send_message(stage: Stage, node: str) -> Answer:
    """Send the message that starts both groups to a node."""
    body = {"message": MESSAGE, "payload": {"from": START, "to": END}}
    return await stage.ask(node, "/v1/messages", body, "day 2026-11-25")


async def play(stage: Stage, board: Board, rows: int) -> Result:
    """Run the demo on a stage, with so many records in each file."""
    watch = Watch(stage.urls["platform"], stage.urls["consumer"])
    board.say(f"what happens, in a browser: {stage.pages}/, with the token {stage.operator}")
    showing = asyncio.create_task(board.show(lambda: _numbers(watch, rows)))
    try:
        result = await _Play(stage, watch, board, rows).whole()
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
        await watch.close()
        board.clear()
    board.say("both databases are compared, row by row")
    result.amiss += await tables.difference(stage.urls["provider"], stage.urls["consumer"])
    return result


class _Play:
    """One play. Requests go to a node that is not killed."""

    def __init__(self, stage: Stage, watch: Watch, board: Board, rows: int) -> None:
        self._stage = stage
        self._watch = watch
        self._board = board
        self._rows = rows
        self._result = Result()
        self._node = NODES[0]

    async def whole(self) -> Result:
        """Play it from the message to the last run."""
        result = self._result
        await tables.spoil(self._stage.urls["consumer"])
        self._board.say(f"a trigger in the consumers' database changes one record of {CORRUPTED} as it comes in")
        await self._message()
        self._board.say(SIGNS_TOLD)
        await self._kill_node()
        await self._kill_consumer()
        failed = await self._settled(CORRUPTED, lambda run: run.state == State.RECON_FAILED)
        if failed:
            await self._mend(failed)
        ended = [await self._settled(name, lambda run: run.state == State.COMPLETED) for name in (*GROUPS, *TASKS)]
        if all(ended):
            self._board.say("all runs are complete")
        runs, files = await self._watch.runs(), await self._watch.files()
        result.runs = {name: run.state for name, run in runs.items()}
        result.records = sum(each.received for each in files.values() if each.state == State.COMPLETED)
        if result.records != len(FILES) * self._rows:
            result.amiss.append(f"{counted(result.records, 'record')} of {len(FILES) * self._rows:,} were loaded")
        return result

    async def _message(self) -> None:
        """Send one message several times, to different nodes."""
        answers = [await send_message(self._stage, NODES[at % len(NODES)]) for at in range(SENT)]
        if wrong := [answer for answer in answers if answer.status != ACCEPTED]:
            self._result.amiss.append(f"the message was answered with {wrong[0].status}: {dict(wrong[0].body)}")
        runs = await self._watch.runs()
        started = ", ".join(f"{name} ({mode})" for name, (mode, _) in GROUPS.items() if name in runs)
        self._board.say(f"the message {MESSAGE} was sent {SENT} times, and started one run of each group: {started}")

    async def _kill_node(self) -> None:
        """Kill the node that calls a consumer just now."""
        found = await self._seen(lambda _, runs: next((run.node for run in runs.values() if run.node), None))
        node = found or NODES[0]
        self._node = next(each for each in NODES if each != node)
        self._stage.processes.kill(node)
        self._told("node", f"{node} was killed; the other one goes on with its runs" if found else "no node had work")

    async def _kill_consumer(self) -> None:
        """Kill a consumer that is in the middle of a file."""
        rows = self._rows

        def in_the_middle(files: dict[str, File], _: dict[str, Run]) -> File | None:
            return next((each for each in files.values() if rows // 10 < each.received < rows // 2), None)

        found = await self._seen(in_the_middle)
        if found is None:
            self._told("consumer", "no consumer was in the middle of a file")
            self._result.amiss.append("no consumer was in the middle of a file, so none was killed")
            return
        name = next((each for each in CONSUMERS if str(self._stage.processes.pid(each)) in (found.holder or "")), "")
        name = name or CONSUMERS[0]
        self._stage.processes.kill(name)
        there = f"{found.name}, of which {found.received:,} records were there"
        self._told("consumer", f"{name} was killed in the middle of {there}; the other one goes on from there")

    async def _mend(self, failed: Run) -> None:
        """Mend what changed a record, and run that file again."""
        self._told("record", f"{CORRUPTED} is RECON_FAILED: {failed.reason}")
        await tables.mend(self._stage.urls["consumer"])
        again = {"reason": "the trigger is gone"}
        answer = await self._stage.ask(self._node, f"/v1/runs/{failed.number}/rerun", again)
        if answer.status != OK:
            self._result.amiss.append(f"it cannot be run again: {answer.status}, {dict(answer.body)}")
        self._board.say("the trigger is dropped, and only this file is run again")

    async def _seen(self, wanted: Callable[[dict[str, File], dict[str, Run]], Any]) -> Any:
        """What a look at everything finds, as soon as it does; None if it never does."""
        found: list[Any] = []

        async def seen() -> bool:
            look = wanted(await self._watch.files(), await self._watch.runs())
            found.extend([look] if look is not None else [])
            return bool(found)

        await until(seen, SETTLE_SECONDS, OFTEN_SECONDS)
        return found[0] if found else None

    async def _settled(self, name: str, as_wanted: Callable[[Run], bool]) -> Run | None:
        """Wait until the run of a task or group is as wanted; tell if it does not come to that."""
        last: list[Run] = []

        async def settled() -> bool:
            run = (await self._watch.runs()).get(name)
            last[:] = [run] if run else []
            return run is not None and as_wanted(run)

        if await until(settled, SETTLE_SECONDS):
            return last[0]
        told = f"{last[0].state}: {last[0].reason}" if last else "never started"
        self._result.amiss.append(f"{name} is {told}".rstrip(": "))
        return None

    def _told(self, fault: str, effect: str) -> None:
        self._result.effects[fault] = effect
        self._board.say(effect)


async def _numbers(watch: Watch, rows: int) -> str:
    files = await watch.files()
    return "  ".join(_number(name, files.get(name), rows) for name in FILES)


def _number(name: str, file: File | None, rows: int) -> str:
    percent = 100 * file.received // rows if file else 0
    return f"{name} {percent:3} %{_SIGNS.get(file.state, ' ') if file else ' '}"
