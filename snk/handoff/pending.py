"""Looks at the lines that wait in the logs of a backend, without touching anything."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snk.handoff.dead import Region
from snk.handoff.logfile import LogFile, Replaced
from snk.handoff.monitor import scan
from snk.handoff.progress import Handles, Progress, TornProgress
from snk.handoff.request import BadLine, Codec
from snk.handoff.state import State


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person reads about a line.

    Attributes:
        line: its number; the first is 1.
        write: what it says; None if it can never be sent.
        why: why it can never be sent; empty if it can.
    """

    log: str
    line: int
    write: dict[str, Any] | None
    why: str = ""

    @property
    def as_json(self) -> dict[str, Any]:
        """All of it."""
        told = {"log": self.log, "line": self.line}
        return told | (self.write if self.write is not None else {"bad": self.why})


@dataclass(frozen=True, slots=True)
class Waiting:
    """A line that is neither done nor a dead letter.

    Attributes:
        line: its number; the first is 1.
        text: the line; a `Region` if it is too long.
    """

    log: str
    line: int
    text: bytes | Region

    def shown(self, codec: Codec, *, values: bool) -> Shown:
        """What a person reads about it; values only if they are asked for."""
        if isinstance(self.text, Region):
            return Shown(self.log, self.line, None, f"it has {self.text.size:,} bytes")
        try:
            return Shown(self.log, self.line, codec.decode(self.text).shown(values=values))
        except BadLine as error:
            return Shown(self.log, self.line, None, str(error))


def waiting(logs: Path, state: State, backend: str, most_line: int) -> Iterator[Waiting]:
    """The lines of a backend that wait, in the order of its logs; half a line at the end of one is left out.

    Raises:
        OSError: a log cannot be read.
    """
    for name in scan(logs, backend).logs.get(backend, {}):
        file = LogFile(logs / backend / name, _progress(state, backend, name))
        while True:
            try:
                lines = file.more(most_line)
            except (FileNotFoundError, Replaced):
                break  # it was released or replaced since
            for line in lines:
                yield Waiting(name, line.number + 1, line.text)
            if not file.unread:
                break


def _progress(state: State, backend: str, name: str) -> Progress:
    """The progress of a log, for reading; none if it cannot be relied upon."""
    path = state.path_of(backend, name)
    progress = Progress(path, Handles())
    try:
        progress.load()
    except (TornProgress, OSError):
        progress = Progress(path, Handles())
    progress.detach()
    return progress
