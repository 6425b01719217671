"""Dates and times, as sources write them, in UTC."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from snk.pipeline.frame import moment


class Unclear(ValueError):  # noqa: N818 - what it means is the caller's business
    """It is no date and time, or it could mean several moments."""


def as_utc(value: Any) -> str:
    """A moment in UTC, as RFC 3339 has it.

    Args:
        value: a text with an offset, or seconds since the epoch.

    Raises:
        Unclear: it is none, or has no offset.
    """
    if isinstance(value, int | Decimal | float) and not isinstance(value, bool):
        try:
            return _written(moment(float(value)))
        except (OverflowError, ValueError):
            raise Unclear from None
    if not isinstance(value, str):
        raise Unclear
    at = datetime.fromisoformat(value.strip())
    if at.tzinfo is None:
        raise Unclear
    return _written(at.astimezone(UTC))


def _written(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat() + "Z"
