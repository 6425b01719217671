"""How a consumer is told that its run has ended: which instance, and what its answer comes to. Pure."""

from collections.abc import Sequence
from typing import Literal

Outcome = Literal["stopped", "refused", "again"]
MOST_WAIT_SECONDS = 60.0
"""Between two tries: a consumer that is back must not work for hours on what was given up."""
OK, REDIRECTED, REFUSED, FAILED = 200, 300, 400, 500
NOT_IMPLEMENTED = 501
LATER = (401, 403, 408, 429)
"""Refusals that a person can end: credentials are wrong, or too much is asked at once."""


def outcome(status: int) -> Outcome:
    """What an answer comes to.

    Args:
        status: of the answer; 0 if there is none.

    Returns:
        ``stopped``; ``refused`` if a repetition cannot change that, such as where the consumer does not know the run or
        knows nothing of ends; otherwise ``again``.
    """
    if OK <= status < REDIRECTED:
        return "stopped"
    if status == NOT_IMPLEMENTED or (REFUSED <= status < FAILED and status not in LATER):
        return "refused"
    return "again"


def instance(last: str | None, consumers: Sequence[str], tries: int) -> str:
    """The instance that is told.

    Args:
        last: that works on the run, which is told first; None if it is not known.
        consumers: all of the task, any of which can stop the run; at least one.
        tries: how many were made.
    """
    first = consumers[0] if last is None else last
    order = [first, *(each for each in consumers if each != first)]
    return order[tries % len(order)]


def wait_seconds(interval_seconds: float) -> float:
    """How long to wait before the next try.

    Args:
        interval_seconds: between calls of the task.
    """
    return min(interval_seconds, MOST_WAIT_SECONDS)
