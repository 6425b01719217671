"""What each process tells about itself, in a file of its space that it writes once a second."""

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypedDict

NAME = "status.json"
FRESH_SECONDS = 5.0
FILE_BYTES = 16 * 1024
SHOWN = 20
SHOWN_CHARACTERS = 200
READS = 3
"""A file that is being written may be read in part: then it is read again."""


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
        ambiguous: requests whose answers were lost, by the names of the frames or supplements, which were not done yet.
            Of push.
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
    ambiguous: dict[str, int] = field(default_factory=dict)
    pushing: tuple[str, ...] = ()
    unequal: dict[str, str] = field(default_factory=dict)

    @property
    def fresh(self) -> bool:
        """Whether the process runs, as far as its last word tells."""
        return abs(time.time() - self.at) < FRESH_SECONDS


def tell(own: Path, report: Report) -> None:
    """Write the file over the old one, whose blocks it keeps: a full disk is worth telling, too."""
    text = json.dumps(asdict(report)).encode()
    if len(text) > FILE_BYTES:
        text = json.dumps(
            asdict(replace(report, failing=_some(report.failing), unequal=_some(report.unequal)))
        ).encode()
    with suppress(OSError):
        descriptor = os.open(own / NAME, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.pwrite(descriptor, text[:FILE_BYTES].ljust(FILE_BYTES), 0)
        finally:
            os.close(descriptor)


def told(own: Path) -> Report:
    """What the process told last."""
    for _ in range(READS):
        with suppress(OSError, ValueError, TypeError, KeyError):
            found = json.loads((own / NAME).read_text())
            return Report(**{**found, "pushing": tuple(found["pushing"])})
    return Report()


def _some(reasons: dict[str, str]) -> dict[str, str]:
    """The oldest of many reasons, cut short."""
    return {frame: reason[:SHOWN_CHARACTERS] for frame, reason in sorted(reasons.items())[:SHOWN]}


class Me(TypedDict):
    """Who tells, and when."""

    at: float
    pid: int


def me() -> Me:
    """The time, and the number of this process."""
    return {"at": time.time(), "pid": os.getpid()}
