"""What the platform and a consumer say to each other, as JSON."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from snk.batch.definition import File
from snk.batch.state import State

MOST_REASON = 2000
Reported = Literal[State.WAITING, State.RUNNING, State.COMPLETED, State.FAILED, State.RECON_FAILED]


class _Message(BaseModel):
    """Members that are not known are passed over, so that both sides can be renewed one after the other."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Call(_Message):
    """What the platform asks a consumer: to work on a run, or to tell how far it is.

    Attributes:
        run: the run's number; the same one again only reports.
        fence: grows with every call; a consumer refuses one that is lower than one it has seen.
        since: the fence from which on the run counts: a larger one than before means that it is run again.
        files: those that are to be loaded.
        payload: of the trigger.
        callback: where reports are sent.
    """

    run: int
    task: str
    fence: int
    since: int
    files: Mapping[str, File]
    payload: Mapping[str, Any]
    callback: str


class FileTold(_Message):
    """How far a file is; see `snk.batch.platform.reporting.FileReport`."""

    state: Reported
    expected: int | None = Field(None, ge=0)
    received: int | None = Field(None, ge=0)
    applied: int | None = Field(None, ge=0)
    rejected: int | None = Field(None, ge=0)
    digest: str | None = Field(None, max_length=200)
    reason: str = Field("", max_length=MOST_REASON)


class Told(_Message):
    """How far a run is: the answer to a call, or a callback.

    Attributes:
        fence: of the last call that the consumer has seen.
    """

    fence: int = Field(ge=0)
    state: Reported
    reason: str = Field("", max_length=MOST_REASON)
    files: Mapping[str, FileTold] = Field(default_factory=dict)
