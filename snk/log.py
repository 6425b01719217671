"""Logging: the event is a constant noun and verb, facts are keys; one line per change of state."""

import logging
import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

import structlog

REMIND_SECONDS = 60.0

RECENT: deque[Mapping[str, Any]] = deque(maxlen=500)
"""What was logged last, the oldest first: each an event with its level, its time, and its facts."""


def configure_log(form: Literal["console", "json"], level: str) -> None:
    """Write to stderr, for people or as one JSON object per line."""
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _keep,
            structlog.processors.StackInfoRenderer(),
            *([structlog.processors.format_exc_info] if form == "json" else []),
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _keep(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    RECENT.append(dict(event))
    return event


class Reminder:
    """When to log a condition that lasts: at once, then once a minute, so that one message does not fill the log."""

    def __init__(self) -> None:
        self._told = ""
        self._told_at = float("-inf")

    def due(self, what: str) -> bool:
        """Whether to log the condition now; if so, it counts as logged."""
        now = time.monotonic()
        if what == self._told and now - self._told_at <= REMIND_SECONDS:
            return False
        self._told, self._told_at = what, now
        return True

    def over(self) -> None:
        """The condition has ended: if it returns, it is logged at once."""
        self._told = ""
