"""What an answer of the receiving server means for a record. Pure."""

import json
from collections.abc import Mapping
from typing import Literal

Outcome = Literal["done", "stored", "again", "pause", "refused"]
"""What becomes of a record: the server took it; it has it from before; it is sent again later; everything waits until a
person has seen to it; or it can never be taken, so its frame is set aside."""

USUAL: Mapping[str, Outcome] = {
    "2xx": "done",
    "408": "again",
    "425": "again",
    "429": "again",
    "5xx": "again",
    "401": "pause",
    "403": "pause",
    "404": "pause",
    "405": "pause",
    "407": "pause",
    "409": "again",
    "4xx": "refused",
}
CONFLICT = 409
ALREADY_STORED = "urn:snk:problem:already-stored"
CONFLICTING = "urn:snk:problem:conflict"
RUNNING = "urn:snk:problem:key-running"


def judge(status: int, rules: Mapping[str, Outcome]) -> Outcome:
    """What an answer with this status means; the rule for one status goes before that for its class."""
    for name in (str(status), f"{status // 100}xx"):
        if name in rules:
            return rules[name]
    return "pause"


def judge_conflict(body: bytes, *, perhaps_sent: bool, patient: bool) -> Outcome:
    """What an answer 409 means, which servers use for different things.

    Args:
        body: of the answer.
        perhaps_sent: whether an earlier request with this record may have arrived without an answer.
        patient: whether the record may be sent again to see whether the answer changes, because the earlier request may
            still be running.
    """
    problem = _problem(body)
    if problem.get("type") == ALREADY_STORED:
        return "stored" if problem.get("equal") is True else "refused"
    if problem.get("type") == CONFLICTING:
        return "refused"
    if problem.get("type") == RUNNING or patient:
        return "again"
    return "stored" if perhaps_sent else "refused"


def _problem(body: bytes) -> dict[str, object]:
    """The members of a problem (RFC 9457); nothing if it is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
