"""What the platform and a consumer say to each other, as JSON."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from snk.batch.definition import File, Name
from snk.batch.payload import storable
from snk.batch.state import State

MOST_REASON = 2000
MOST_COUNT = 2**63 - 1
MOST_DIGEST = 200
COUNTS = ("expected", "received", "applied", "rejected")
"""The numbers of a file."""


def without_nul(text: str) -> str:
    """A text without the character that no database holds."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


Text = Annotated[str, AfterValidator(without_nul)]
"""A text that a database can hold."""
Count = Annotated[int, Field(ge=0, le=MOST_COUNT)]
_UNSEEN = re.compile(r"[\x00-\x20\x7f]")
"""Spaces and control characters."""
Reported = Literal[State.WAITING, State.RUNNING, State.COMPLETED, State.FAILED, State.RECON_FAILED]


def _storable_files(files: Mapping[str, File]) -> Mapping[str, File]:
    for name, file in files.items():
        try:
            storable(file.model_dump())
        except ValueError as error:
            raise ValueError(f"file {name}: {error}") from None
    return files


def _address(given: str) -> str:
    """The address itself.

    Raises:
        ValueError: it cannot be called.
    """
    if not given:
        return given
    parts = urlsplit(given)
    if parts.username is not None or parts.password is not None:
        raise ValueError("it has a user or a password; name credentials in the consumer's settings")
    if parts.scheme not in ("http", "https") or not parts.hostname or _UNSEEN.search(given):
        raise ValueError(f"{given!r} is no address of a service; write http(s)://HOST:PORT/PATH, or nothing")
    _ = parts.port  # raises ValueError for what is no port
    return given


class _Message(BaseModel):
    """Members that are not known are passed over, so that both sides can be renewed one after the other."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Call(_Message):
    """What the platform asks a consumer: to work on a run, or to tell how far it is.

    Attributes:
        run: the run's number, as people know it. Another platform, or one whose database was made anew, has the same
            numbers.
        uid: the run, unlike every other one of any platform; the same one again only reports.
        fence: grows with every call; a consumer refuses one that is lower than one it has seen.
        since: the fence from which on the run counts: a larger one than before means that it is run again.
        files: those that are to be loaded.
        payload: of the trigger.
        callback: where reports are sent; empty for nowhere.
    """

    run: Count
    uid: UUID
    task: str
    fence: Count
    since: Count
    files: Annotated[Mapping[Name, File], AfterValidator(_storable_files)]
    payload: Annotated[Mapping[str, Any], AfterValidator(lambda given: storable(dict(given)))]
    callback: Annotated[str, AfterValidator(_address)]


class FileTold(_Message):
    """How far a file is; see `snk.batch.platform.judging.FileReport`."""

    state: Reported
    expected: Count | None = None
    received: Count | None = None
    applied: Count | None = None
    rejected: Count | None = None
    digest: Text | None = Field(None, max_length=MOST_DIGEST)
    reason: Text = Field("", max_length=MOST_REASON)


class Told(_Message):
    """How far a run is: the answer to a call, or a callback.

    Attributes:
        fence: of the last call that the consumer has seen.
    """

    fence: Count
    state: Reported
    reason: Text = Field("", max_length=MOST_REASON)
    files: Mapping[Name, FileTold] = Field(default_factory=dict)
