"""Calls a consumer, and says what its answer means."""

from dataclasses import dataclass

from pydantic import ValidationError
from yarl import URL

from snk.batch.definition import Task
from snk.batch.platform.claims import Claim
from snk.batch.platform.proofs import Proofs
from snk.batch.platform.stops import Owed
from snk.batch.wire import Call, Told
from snk.errors import SettingsError
from snk.http.client import Answered, Clients, NoAnswer, Request

TAKEN = (200, 202)
CONFLICT = 409
ABSENT = (502, 503, 504)
"""What proxies answer while nobody is behind them, and services that are not ready."""
MOST_ANSWER_BYTES = 4 * 2**20
MOST_SHOWN = 200
STOP_SECONDS = 10.0
"""For the answer of a consumer that is told that its run has ended."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call.

    Attributes:
        told: what the consumer reports; None if it did not take the call.
        reason: why it did not.
        stale: whether the consumer says that it has seen a call of a later fence.
        absent: whether nobody seems to be there: no answer came, or a proxy answered in its place.
    """

    told: Told | None
    reason: str = ""
    stale: bool = False
    absent: bool = False


class Caller:
    """Calls consumers over kept connections."""

    def __init__(self, proofs: Proofs, callback: str, at_once: int) -> None:
        """Assign.

        Args:
            proofs: what the platform proves itself by.
            callback: the address of the platform's API.
            at_once: calls of one consumer.
        """
        self._proofs = proofs
        self._callback = callback
        self._clients = Clients(at_once, MOST_ANSWER_BYTES)

    async def call(self, consumer: str, claim: Claim, task: Task) -> Answer:
        """Call a consumer, and wait for its answer."""
        url = URL(consumer)
        files = {name: file for name, file in task.files.items() if claim.files is None or name in claim.files}
        body = Call(
            run=claim.run,
            uid=claim.uid,
            task=claim.task,
            fence=claim.fence,
            since=claim.since,
            files=files,
            payload=claim.payload,
            callback=f"{self._callback}/v1/runs/{claim.run}/callback?uid={claim.uid}",
        )
        try:
            headers = (("Content-Type", "application/json"), *self._authorization(task))
        except SettingsError as error:
            return Answer(None, f"it is not called: {error}"[:MOST_SHOWN])
        request = Request("POST", url.raw_path_qs, body.model_dump_json().encode(), headers)
        try:
            answered = await self._clients.of(url).send(request, task.timeout_seconds)
        except NoAnswer as error:
            return Answer(None, str(error), absent=True)
        if answered.status not in TAKEN:
            stale, absent = answered.status == CONFLICT, answered.status in ABSENT
            return Answer(None, _words(answered), stale=stale, absent=absent)
        if answered.cut:
            return Answer(None, f"its answer is longer than {MOST_ANSWER_BYTES:,} bytes, of which no more are read")
        try:
            return Answer(Told.model_validate_json(answered.body))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            return Answer(None, f"its answer cannot be used: {first['loc']}: {first['msg']}"[:MOST_SHOWN])

    async def stop(self, consumer: str, owed: Owed, task: Task) -> tuple[int, str]:
        """Tell a consumer that its run has ended; return the status of its answer, 0 if there is none, and words."""
        url = URL(consumer).update_query(uid=str(owed.uid), fence=str(owed.fence))
        try:
            request = Request("DELETE", url.raw_path_qs, headers=self._authorization(task))
            answered = await self._clients.of(url).send(request, STOP_SECONDS)
        except SettingsError as error:
            return 0, f"it is not called: {error}"[:MOST_SHOWN]
        except NoAnswer as error:
            return 0, str(error)
        return answered.status, _words(answered)

    def _authorization(self, task: Task) -> tuple[tuple[str, str], ...]:
        authorization = self._proofs.header(task.auth)
        return (("Authorization", authorization),) if authorization else ()

    async def close(self) -> None:
        """Close all connections."""
        await self._clients.close()


def _words(answered: Answered) -> str:
    text = answered.text.replace("\0", " ")  # no database holds it
    return f"it answers {answered.status}: {text}".rstrip(": \n")[:MOST_SHOWN]
