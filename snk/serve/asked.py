"""What the parameters of requests mean."""

import re
from datetime import UTC, datetime, timedelta

from snk.http.api.problem import invalid
from snk.serve.reading import Span
from snk.serve.table import Dataset

TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)$"
_TIME = re.compile(TIME, re.ASCII)
FORM = "Write a time as 2026-11-25T00:00:00Z, or with another offset, whose + is written %2B in a query"
DAY_SECONDS = 86_400


def time_of(name: str, text: str) -> datetime:
    """A time in UTC.

    Raises:
        Problem: it is none, or has no offset.
    """
    if not _TIME.fullmatch(text):
        raise invalid(name, f"{name} is {text!r}. {FORM}")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid(name, f"{name} is {text!r}, which is no date and time") from None


def span_of(dataset: Dataset, start: str | None, end: str | None) -> Span:
    """From when to when.

    Raises:
        Problem: a bound is no time, they are the wrong way round, or the dataset has no time.
    """
    span = Span(
        None if start is None else time_of("from", start),
        None if end is None else time_of("to", end),
    )
    if (span.start or span.end) and not dataset.time:
        raise invalid("from" if span.start else "to", f"{dataset.name} has no column of time")
    if span.start and span.end and span.start > span.end:
        raise invalid("to", f"to is {end!r}, before from")
    return span


def frame_of(minute: str, seconds: int) -> Span:
    """The frame that starts at a time.

    Raises:
        Problem: it is no time.
    """
    start = time_of("minute", minute)
    try:
        return Span(start, start + timedelta(seconds=seconds))
    except OverflowError:
        raise invalid("seconds", f"The frame that starts at {minute} would end after the year 9999") from None


def columns_of(dataset: Dataset, given: str | None) -> tuple[str, ...]:
    """The columns that are asked for; all that may be read if none is named.

    Raises:
        Problem: there is no such column to be read.
    """
    if given is None:
        return dataset.read
    names = given.split(",")
    for name in names:
        if name not in dataset.read:
            raise invalid("columns", f"There is no column {name!r} to be read; there are {', '.join(dataset.read)}")
    if len(set(names)) < len(names):
        raise invalid("columns", f"columns is {given!r}, with a name twice")
    return tuple(names)
