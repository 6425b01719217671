"""Sends records to the receiving server, each with its uid as Idempotency-Key, and tells what its answers mean."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, NamedTuple

from yarl import URL

from snk.http.auth.credentials import Credentials
from snk.http.client import Answered, Client, Request
from snk.http.origin import origin_of
from snk.pipeline.outcome import CONFLICT, Outcome, judge, judge_conflict

_PLAIN = re.compile(r"[!#-\[\]-~]{1,255}", re.ASCII)
"""Texts that a header can hold, bare or in quotes, as they are."""
REPLAYED = "Idempotency-Replayed"


@dataclass(frozen=True, slots=True)
class Sending:
    """How records are sent.

    Attributes:
        url: of single records.
        batch_url: of batches.
        wrapped: whether a batch is an object with ``items``; otherwise it is a list.
        batch: how many records one request has; 0 sends each as an object.
        key_form: whether the key is written bare or in quotes.
        rules: what answers mean.
        tries: of a record that is refused for a while.
        seconds: until an answer is there.
        slots: requests at once.
    """

    url: URL
    batch_url: URL
    wrapped: bool
    method: str
    batch: int
    key_form: Literal["bare", "quoted"]
    rules: Mapping[str, Outcome]
    tries: int
    seconds: float
    slots: int
    headers: Mapping[str, str]
    credentials: Credentials


class Parcel(NamedTuple):
    """What one request carries.

    Attributes:
        key: what identifies it.
        uids: of its records.
        bodies: the records as JSON; several, or one in a list, if it is a batch.
        batch: whether it is one.
    """

    key: str
    uids: Sequence[str]
    bodies: Sequence[bytes]
    batch: bool = False

    @property
    def blamed(self) -> str:
        """The uid of its record; nothing if it has several, and any of them may be to blame."""
        return self.uids[0] if len(self.uids) == 1 else ""


class Sink:
    """The receiving server."""

    def __init__(self, sending: Sending) -> None:
        self.sending = sending
        self._outcomes: dict[int, Outcome] = {}
        self._client = Client(origin_of(sending.url), sending.slots, sending.headers)

    async def send(self, parcel: Parcel, *, patience: int) -> Answered:
        """Send one parcel.

        Args:
            parcel: what is sent.
            patience: how many times the usual time the answer is waited for.

        Raises:
            NoAnswer: there was none.
        """
        sending = self.sending
        headers = [("Content-Type", "application/json"), ("Idempotency-Key", header(parcel.key, sending.key_form))]
        if authorization := sending.credentials.header():
            headers.append(("Authorization", authorization))
        url = sending.batch_url if parcel.batch else sending.url
        request = Request(sending.method, url.raw_path_qs, self._body(parcel), tuple(headers))
        return await self._client.send(request, sending.seconds * patience)

    def judge(self, answer: Answered, *, perhaps_sent: bool, patient: bool) -> Outcome:
        """What an answer means; `snk.pipeline.outcome.judge_conflict` describes the other arguments."""
        outcome = self._outcomes.get(answer.status) or judge(answer.status, self.sending.rules)
        self._outcomes[answer.status] = outcome
        if answer.status == CONFLICT and outcome == "again":
            outcome = judge_conflict(answer.body, perhaps_sent=perhaps_sent, patient=patient)
        if outcome == "done" and answer.headers.get(REPLAYED, "").lower() in ("true", "?1"):
            return "stored"
        return outcome

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    def _body(self, parcel: Parcel) -> bytes:
        if not parcel.batch:
            return parcel.bodies[0]
        listed = b"[" + b",".join(parcel.bodies) + b"]"
        return b'{"items":' + listed + b"}" if self.sending.wrapped else listed


def header(key: str, form: Literal["bare", "quoted"]) -> str:
    """A key as a header has it. One that a header cannot hold is replaced by its hash, which is as unique."""
    if not _PLAIN.fullmatch(key):
        key = "sha256-" + sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f'"{key}"' if form == "quoted" else key
