"""What each process tells about itself, in a file of its space that it writes once a second."""

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

NAME = "status.json"
FRESH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Report:
    """What a process tells.

    Attributes:
        at: when, in seconds since the epoch.
        pid: of the process; 0 if it has never run.
        trouble: why it does nothing now; empty if it works.
        failing: the reasons of frames that failed, by where they start.
        ahead: seconds by which the clock of the source is ahead of ours; None if unknown. Of pull.
        source_now: what the clock of the source shows. Of pull.
        delay_seconds: from the end of a frame until it is pulled. Of pull.
        per_second: records per second of late.
        in_flight: what is under way.
        changed: records that were found changed after they had been pulled. Of pull.
        ambiguous: requests of unfinished frames whose answers were lost. Of push.
        pushing: where the frames start of which records are sent. Of push.
        unequal: why frames are not found in the database of the receiving server, by where they start. Of push.
    """

    at: float = 0.0
    pid: int = 0
    trouble: str = ""
    failing: dict[str, str] = field(default_factory=dict)
    ahead: float | None = None
    source_now: float | None = None
    delay_seconds: float = 0.0
    per_second: float = 0.0
    in_flight: int = 0
    changed: int = 0
    ambiguous: int = 0
    pushing: tuple[str, ...] = ()
    unequal: dict[str, str] = field(default_factory=dict)

    @property
    def fresh(self) -> bool:
        """Whether the process runs, as far as its last word tells."""
        return abs(time.time() - self.at) < FRESH_SECONDS


def tell(own: Path, report: Report) -> None:
    """Write the file; on a full disk the old one stays."""
    beside = own / f".{NAME}"
    with suppress(OSError):
        beside.write_text(json.dumps(asdict(report)))
        beside.replace(own / NAME)


def told(own: Path) -> Report:
    """What the process told last."""
    try:
        found = json.loads((own / NAME).read_text())
        return Report(**{**found, "pushing": tuple(found["pushing"])})
    except (OSError, ValueError, TypeError, KeyError):
        return Report()


class Me(TypedDict):
    """Who tells, and when."""

    at: float
    pid: int


def me() -> Me:
    """The time, and the number of this process."""
    return {"at": time.time(), "pid": os.getpid()}
