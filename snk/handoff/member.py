"""One backend as the front sees it: what its answers mean, and whether it is worth asking."""

import time
from dataclasses import dataclass, field
from typing import Literal

from snk.handoff.client import BackendClient
from snk.handoff.outcome import HUSTDB, VERSION_HEADERS, versioned
from snk.http.client import Answered, NoAnswer, Request

SLOTS = 256
"""Requests to one backend at once."""
MOST_FAILURES = 3
"""After so many failures in a row a backend is left alone for a while."""
_DEFECT = 500

State = Literal["done", "refused", "failed", "unknown"]
"""The write is there; it was refused for ever; it is not there; or nobody knows."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a write at one backend.

    Attributes:
        status: of the answer; None if there was none.
        versions: headers of the answer that are hustdb's own.
    """

    state: State
    status: int | None = None
    versions: dict[str, str] = field(default_factory=dict)


class Member:
    """One backend of a front.

    A backend that fails several times in a row is not asked for a while: its writes go straight to the log, so that it
    does not slow the answers. Then one write goes out as a probe.

    Args:
        client: the connections to it.
        timeout_seconds: for an answer.
        skip_seconds: how long it is left alone.
    """

    def __init__(self, client: BackendClient, timeout_seconds: float, skip_seconds: float) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._skip_seconds = skip_seconds
        self._failures = 0
        self._skipped_until = 0.0

    async def send(self, request: Request, *, removes: bool) -> Verdict:
        """Send a write, unless the backend is left alone."""
        if self._skips():
            return Verdict("failed")
        try:
            verdict = _judged(await self._client.send(request, self._timeout_seconds), removes=removes)
        except NoAnswer as error:
            verdict = Verdict("unknown" if error.sent else "failed")
        if verdict.state in ("done", "refused"):
            self._failures = 0
        else:
            self._failures += 1
            self._skipped_until = time.monotonic() + self._skip_seconds
        return verdict

    def _skips(self) -> bool:
        now = time.monotonic()
        if self._failures < MOST_FAILURES:
            return False
        if now < self._skipped_until:
            return True
        self._skipped_until = now + max(self._skip_seconds, self._timeout_seconds)  # until the probe has an answer
        return False


def _judged(answer: Answered, *, removes: bool) -> Verdict:
    """What an answer means; after a defect on its side, a backend may have taken the write or not."""
    outcome = HUSTDB.judge(answer.status, versioned=versioned(answer.headers), removes=removes)
    if outcome == "done":
        versions = {name: text for name, text in answer.headers.items() if name.lower() in VERSION_HEADERS}
        return Verdict("done", answer.status, versions)
    if outcome == "dead":
        return Verdict("refused", answer.status)
    return Verdict("unknown" if answer.status >= _DEFECT else "failed", answer.status)
