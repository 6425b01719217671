"""What a person does about dead letters: send them again, or delete them, one or many; as `snk handoff dead` does.

Each letter is handled on its own, in the order of logs and lines, so a server that stops leaves nothing half done. Many
may take longer than a connection lasts: then the work goes on, and the page shows how far it is.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import structlog

from snk.core.words import counted
from snk.errors import LogFull, SettingsError
from snk.handoff.dead import DeadLetters
from snk.handoff.log import Log
from snk.handoff.put_back import put_back
from snk.http.portal.page import Done, Form

log = structlog.get_logger()

MOST_AT_ONCE = 1000
ANSWER_SECONDS = 5.0
"""How long an answer is put off until the work is done: a connection lasts longer."""

Verb = Literal["replay", "drop"]
DONE = {"replay": "put back into the log", "drop": "deleted"}
UNDER_WAY = {"replay": "Putting back", "drop": "Deleting"}


@dataclass(slots=True)
class Work:
    """What was asked for last.

    Attributes:
        of: how many letters.
        done: how many are done.
        skipped: how many were not, each for a reason of its own.
        why: why one was not, or why the rest was not.
        running: whether it goes on.
        told: whether whoever asked for it got to know what became of it.
    """

    verb: Verb
    backend: str
    of: int = 0
    done: int = 0
    skipped: int = 0
    why: str = ""
    running: bool = True
    told: bool = False

    @property
    def text(self) -> str:
        """How far it is, in one line."""
        if self.running:
            return (
                f"{UNDER_WAY[self.verb]} {counted(self.of, 'dead letter')} of {self.backend}: {self.done:,} are done."
            )
        told = f"{counted(self.done, 'dead letter')} of {self.backend} {DONE[self.verb]}."
        left = self.of - self.done
        return f"{told} {left:,} not: {self.why}" if left else told


@dataclass(frozen=True, slots=True)
class Chosen:
    """The dead letters that are meant.

    Attributes:
        names: in the order of logs and lines.
        of: how many the backend has.
    """

    backend: str
    names: Sequence[str]
    of: int

    @property
    def seal(self) -> str:
        """Tells whether others are meant than those that were confirmed."""
        return hashlib.sha256("\n".join(self.names).encode()).hexdigest()[:16]


class Handling:
    """Replays and drops.

    Args:
        letters: the dead letters.
        opened: opens the logs, for as long as lines are put back.
        most_line: how many bytes a line may have to be sent.
    """

    def __init__(self, letters: DeadLetters, opened: Callable[[], Log[Any]], most_line: int) -> None:
        self._letters = letters
        self._opened = opened
        self._most_line = most_line
        self._tasks: set[asyncio.Task[None]] = set()
        self.work: Work | None = None

    def one(self, name: str) -> Chosen:
        """One letter.

        Raises:
            SettingsError: there is none of this name.
        """
        letter = self._letters.head(name)
        return Chosen(letter.backend, (name,), self._letters.count(letter.backend))

    def all_of(self, backend: str, most: int = MOST_AT_ONCE) -> Chosen:
        """The first letters of a backend, at most so many."""
        names = self._letters.names(backend) if backend in self._letters.backends else []
        return Chosen(backend, names[: min(most, MOST_AT_ONCE)], len(names))

    async def replay(self, form: Form, _: str) -> Done:
        """Put letters back into the present log of their backend."""
        return await self._handle("replay", form)

    async def drop(self, form: Form, _: str) -> Done:
        """Delete letters for good."""
        return await self._handle("drop", form)

    async def _handle(self, verb: Verb, form: Form) -> Done:
        if self.work is not None and self.work.running:
            return Done(f"Something else is under way. {self.work.text} Try again when it is done.", "/dead", ok=False)
        work = self.work = Work(verb, "")
        try:
            chosen = await asyncio.to_thread(self._confirmed, form)
        except BaseException:
            self.work = None
            raise
        work.backend, work.of = chosen.backend, len(chosen.names)
        task = asyncio.create_task(self._run(work, chosen.names))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait((task,), timeout=ANSWER_SECONDS)
        work.told = not work.running
        return Done(work.text, f"/dead?backend={quote(chosen.backend)}", ok=work.running or work.done == work.of)

    def _confirmed(self, form: Form) -> Chosen:
        """The letters that a person has confirmed.

        Raises:
            SettingsError: they are not there any more, or others would be meant now.
        """
        if name := form.get("letter"):
            return self.one(name)
        count = form.get("count", "")
        chosen = self.all_of(form.get("backend", ""), int(count) if count.isdecimal() and len(count) < 5 else 0)  # noqa: PLR2004 - at most 1,000
        if not chosen.names or chosen.seal != form.get("seal"):
            raise SettingsError("Other dead letters are there now than those that were shown. Look again")
        return chosen

    async def _run(self, work: Work, names: Sequence[str]) -> None:
        try:
            with self._opened() as logs:
                for name in names:
                    await asyncio.to_thread(self._one, work, logs, name)
        except (LogFull, OSError) as error:
            work.why = str(error)
        finally:
            work.running = False
            name = "dead_letters_replayed" if work.verb == "replay" else "dead_letters_dropped"
            left = {"not_done": work.of - work.done, "reason": work.why} if work.done < work.of else {}
            log.info(name, backend=work.backend, count=work.done, by="a person, in the portal", **left)

    def _one(self, work: Work, logs: Log[Any], name: str) -> None:
        """Handle one letter. One that is gone, or can never be sent, does not keep back the others."""
        try:
            if work.verb == "drop":
                self._letters.drop(name)
            else:
                self._check(name)
                put_back(self._letters, logs, name)
        except (SettingsError, ValueError) as error:
            work.skipped, work.why = work.skipped + 1, str(error)
        else:
            work.done += 1

    def _check(self, name: str) -> None:
        if (size := self._letters.head(name).size) > self._most_line:
            hint = "Raise handoff.line_bytes_max first, and restart the server"
            raise SettingsError(f"{name} has {size:,} bytes, and would be a dead letter again", hint=hint)
