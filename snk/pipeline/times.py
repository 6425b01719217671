"""Dates and times, as sources write them, in UTC."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from snk.pipeline.frame import moment

_MOST_SECONDS = 10**12
"""Far more than dates have: larger numbers need not be turned into whole ones."""
_TOO_FINE = re.compile(r"[.,]\d{6}\d*[1-9]", re.ASCII)


class Unclear(ValueError):  # noqa: N818 - what it means is the caller's business
    """It is no date and time, or it could mean several moments."""


def as_utc(value: Any) -> str:
    """A moment in UTC, as RFC 3339 has it.

    Args:
        value: a text with an offset, or seconds since the epoch.

    Raises:
        Unclear: it is none, has no offset, or has a finer fraction than microseconds.
    """
    try:
        return _written(_moment(value))
    except (ArithmeticError, ValueError):
        raise Unclear from None


def _moment(value: Any) -> datetime:
    if isinstance(value, int | Decimal | float) and not isinstance(value, bool):
        seconds = Decimal(str(value))
        if not abs(seconds) < _MOST_SECONDS:
            raise Unclear
        parts = (seconds - int(seconds)) * 1_000_000
        if parts != int(parts):
            raise Unclear
        return moment(int(seconds)) + timedelta(microseconds=int(parts))
    if not isinstance(value, str) or _TOO_FINE.search(value):
        raise Unclear
    at = datetime.fromisoformat(value.strip())
    if at.tzinfo is None:
        raise Unclear
    return at.astimezone(UTC)


def _written(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat() + "Z"
