"""The names of folders and logs: one folder for each backend, one file for each minute. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import AddressValueError, IPv6Address

PATTERN = "%Y-%m-%d-%H-%M.log"
_LOG = re.compile(r"(\d{4})-(\d\d)-(\d\d)-(\d\d)-(\d\d)\.log", re.ASCII)
_LABEL = r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_BACKEND = re.compile(
    rf"(?:{_LABEL}(?:\.{_LABEL}){{0,60}}|\[(?P<six>[0-9A-Fa-f:.]{{2,45}})\]):(?P<port>[1-9]\d{{0,4}})", re.ASCII
)
MOST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Seen:
    """A log as a folder shows it.

    Attributes:
        place: its device and inode.
    """

    name: str
    size: int
    place: tuple[int, int]


def is_log(name: str) -> bool:
    """Whether a file is a log: its name is a minute."""
    return minute_of(name) is not None


def is_backend(name: str) -> bool:
    """Whether a folder is that of a backend: its name is a host and a port."""
    found = _BACKEND.fullmatch(name)
    if found is None or int(found["port"]) > MOST_PORT:
        return False
    try:
        return found["six"] is None or bool(IPv6Address(found["six"]))
    except AddressValueError:
        return False


def minute_of(name: str) -> datetime | None:
    """The local minute of a log; None if the name is not that of a log, or there is no such minute."""
    found = _LOG.fullmatch(name)
    try:
        return datetime(*map(int, found.groups())) if found else None  # type: ignore[arg-type] # noqa: DTZ001 - local time
    except ValueError:
        return None


def log_of(minute: datetime) -> str:
    """The name of the log of a local minute."""
    return minute.strftime(PATTERN)


def is_over(name: str, now: datetime) -> bool:
    """Whether the minute of a log is over at a local time."""
    minute = minute_of(name)
    return minute is not None and minute + timedelta(minutes=1) <= now
