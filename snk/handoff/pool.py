"""The pool: for each backend, workers that take a line, compose its request, send it, and record what became of it."""

import time
from dataclasses import dataclass
from functools import cache

import structlog

from snk.core.backoff import Backoff
from snk.core.breaker import MOST_TIMES
from snk.handoff.backend import Backend, Item
from snk.handoff.client import BackendClient
from snk.handoff.dead import DeadLetter, DeadLetters, Gone, Region, letter_of
from snk.handoff.durable import Durable
from snk.handoff.logfile import Line, LogFile
from snk.handoff.outcome import Rules, versioned
from snk.handoff.request import BadLine, Codec
from snk.http.client import Answered, NoAnswer
from snk.log import Reminder

log = structlog.get_logger()

OK = 200


@dataclass(frozen=True, slots=True)
class Sending:
    """How lines are sent.

    Attributes:
        tries: of a line that its backend refuses for a while.
        timeout_seconds: for an answer.
        retry: the delays before a line is sent again.
    """

    codec: Codec
    rules: Rules
    tries: int
    timeout_seconds: float
    retry: Backoff


class Pool:
    """The workers of one backend."""

    def __init__(
        self, backend: Backend, client: BackendClient, sending: Sending, letters: DeadLetters, durable: Durable
    ) -> None:
        self._backend = backend
        self._client = client
        self._sending = sending
        self._letters = letters
        self._durable = durable
        self._judge = cache(sending.rules.judge)
        self._reminder = Reminder()

    def take(self, file: LogFile, line: Line) -> str:
        """Decode a line, and take it into memory; if it can never be sent, say why."""
        self._backend.counts.processed += 1
        if isinstance(line.text, Region):
            return f"it has {line.text.size:,} bytes, more than a line may have"
        try:
            write = self._sending.codec.decode(line.text)
        except BadLine as error:
            return str(error)
        self._backend.take(Item(file, line.number, line.text, write))
        return ""

    async def torn(self, file: LogFile, rest: bytes | Region) -> None:
        """What follows the last line end of a log that is whole is a dead letter."""
        size = rest.size if isinstance(rest, Region) else len(rest)
        place = (self._backend.name, file.name, file.lines)
        await self._bury(letter_of(place, "the line has no end", size), rest)
        file.torn = True

    async def work(self) -> None:
        """Send one line after another, for ever."""
        while True:
            item = await self._backend.next()
            try:
                await self._attempt(item)
            except Exception as error:  # a defect of ours must not stop the other backends
                log.exception("line_failed", backend=self._backend.name, log=item.log.name, line=item.number + 1)
                if item.settled:
                    continue
                why = f"{item.log.name}, line {item.number + 1}: {type(error).__name__}: {error}"
                self._backend.breaker.pause(why, time.monotonic(), self._backend.chance())
                self._backend.give_back(item)

    async def _attempt(self, item: Item) -> None:
        """Send a line, and record what became of it."""
        request = item.write.request(time.time())
        if request is None:
            self._backend.counts.expired += 1
            self._done(item)
            return
        seconds = self._seconds(item)
        try:
            answer = await self._client.send(request, seconds)
        except NoAnswer as error:
            self._unanswered(item, error, seconds)
            return
        if item.losses:
            self._backend.answered(item)
        if answer.resent:
            self._unknown(item)
        # Nearly all answers are 200, whose headers need not be looked at.
        tells = answer.status != OK and versioned(answer.headers)
        outcome = self._judge(answer.status, versioned=tells, removes=item.write.removes)
        if outcome == "done":
            self._recovered()
            self._done(item)
        elif outcome == "dead":
            self._recovered()
            await self._died(item, f"the backend answers {answer.status} {answer.text!r}", answer.status)
        elif outcome == "pause":
            self._paused(item, answer)
        else:
            await self._refused(item, answer)

    def _recovered(self) -> None:
        if self._backend.breaker.succeeded():
            log.info("backend_recovered", backend=self._backend.name)

    def _done(self, item: Item) -> None:
        self._backend.counts.synced += 1
        self._settle(item.log, item.number)
        self._backend.settled(item)

    def _settle(self, file: LogFile, number: int) -> None:
        file.progress.settle(number)
        self._durable.note(file.progress)

    async def _died(self, item: Item, reason: str, status: int | None) -> None:
        place = (self._backend.name, item.log.name, item.number)
        await self._bury(letter_of(place, reason, len(item.text), status, item.tries), item.text)
        self._settle(item.log, item.number)
        self._backend.settled(item)

    async def dead_on_arrival(self, file: LogFile, line: Line, reason: str) -> None:
        """A line that can never be sent becomes a dead letter."""
        text = line.text
        size = text.size if isinstance(text, Region) else len(text)
        file.under_way += 1
        try:
            await self._bury(letter_of((self._backend.name, file.name, line.number), reason, size), text)
            self._settle(file, line.number)
        finally:
            file.under_way -= 1

    async def _bury(self, letter: DeadLetter, line: bytes | Region) -> None:
        """Write a dead letter, however long it takes to find room for it."""
        where = {"backend": letter.backend, "log": letter.log, "line": letter.line}
        try:
            await self._durable.persist("a dead letter", self._letters.bury, letter, line)
        except Gone as error:
            self._backend.counts.lost += 1
            log.error("line_lost", **where, reason=f"its log cannot be read any more: {error}")  # noqa: TRY400 - no defect
            return
        self._backend.counts.dead += 1
        log.warning("dead_letter", **where, reason=letter.reason)

    def _seconds(self, item: Item) -> float:
        """How long an answer is waited for: longer if the backend is slow, or has not answered this line in time."""
        patience = self._backend.breaker.patience
        if item.losses:
            patience = max(patience, min(MOST_TIMES, 2**item.losses))
        return self._sending.timeout_seconds * patience

    def _unanswered(self, item: Item, error: NoAnswer, seconds: float) -> None:
        backend, now = self._backend, time.monotonic()
        backend.last_error = str(error)
        if error.sent:
            self._unknown(item)
        if not error.reachable:
            backend.died()
            backend.counts.again += 1
            backend.give_back(item)
            return
        if error.late and not item.losses:
            backend.breaker.late()  # a line that hangs again says nothing about the backend
        backend.breaker.failed((item.log, item.number), str(error), now, backend.chance())
        backend.lost_answer(item)
        delay = self._delay(item.losses)
        alone = error.late and backend.breaker.most == 1
        backend.postpone(item, max(delay, seconds) if alone else delay)
        backend.wake_checker.set()
        self._tell_unanswered()

    def _tell_unanswered(self) -> None:
        """Say, once a minute at most, which lines get no answer."""
        found = self._backend.unanswered
        if found and self._reminder.due("unanswered"):
            place = {"log": found[0].log.name, "line": found[0].number + 1, "times": found[0].losses}
            effect = "they are sent again and again, beside all others"
            log.warning("lines_unanswered", backend=self._backend.name, lines=len(found), **place, effect=effect)

    def _unknown(self, item: Item) -> None:
        """It is not known whether a request that was sent has changed the backend."""
        self._backend.counts.unknown += 1
        self._backend.counts.unknown_adds += item.write.adds

    def _paused(self, item: Item, answer: Answered) -> None:
        """Consume nothing, and say so: a wrong password, or something between us and the backend."""
        backend = self._backend
        place = f"{item.log.name}, line {item.number + 1}"
        way_out = f'fix the backend, or set handoff.outcomes "{answer.status}" = "dead"'
        reason = f"the backend answers {answer.status} {answer.text!r} to {place}; {way_out}"
        if backend.breaker.state != "paused":
            log.error("backend_paused", backend=backend.name, reason=reason, effect="nothing is sent but probes")
        backend.last_error = reason
        backend.breaker.pause(reason, time.monotonic(), backend.chance())
        backend.give_back(item)

    async def _refused(self, item: Item, answer: Answered) -> None:
        backend, sending, now = self._backend, self._sending, time.monotonic()
        item.tries += 1
        reason = f"the backend answers {answer.status} {answer.text!r}"
        backend.last_error = reason
        if item.tries >= sending.tries and not sending.rules.endless:
            await self._died(item, f"{reason}, {item.tries} times", answer.status)
            return
        left_alone = answer.retry_after
        if left_alone:
            backend.breaker.wait(left_alone, reason, now)
        backend.breaker.failed((item.log, item.number), reason, now, backend.chance())
        backend.postpone(item, max(left_alone, self._delay(item.tries)))

    def _delay(self, tries: int) -> float:
        retry = self._sending.retry
        return Backoff(retry.first_seconds, retry.most_seconds, tries - 1).wait_seconds(self._backend.chance())
