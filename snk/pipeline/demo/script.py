"""When everything in the demo happens, and the settings that follow from it."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snk.pipeline.demo.tables import COLUMNS, NAME
from snk.pipeline.frame import Grid, written

DELAY_SECONDS = 1
LOOKBACK_SECONDS = 15
"""Records that come later are not looked for; the demo waits for so long after its last frame."""
BACKLOG_SHARE, BACKLOG_SECONDS = 0.9, 25.0
"""Of the time in which the clients write, so much is given to pulling the past, and at least so many seconds: the
faults are to meet work."""
PUSHED_AT_ONCE = 4
MINUTE, HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class Script:
    """The frames, and how fast they go.

    Attributes:
        grid: the frames. One of them ends when the writer stops.
        frames: how many there are up to that moment.
        per_second: requests that the pipeline may send to the source.
    """

    grid: Grid
    frames: int
    per_second: float

    @classmethod
    def of(cls, hours: int, seconds: float) -> "Script":
        """A script for so many hours of frames, that ends so many seconds from now."""
        frames = hours * HOUR // MINUTE
        end = int(time.time() + seconds)
        backlog = max(BACKLOG_SECONDS, BACKLOG_SHARE * seconds)
        return cls(Grid(end - hours * HOUR, MINUTE), frames, frames / backlog)

    @property
    def end(self) -> int:
        """When the last frame ends, in seconds since the epoch."""
        return self.grid.start(self.frames)

    @property
    def last(self) -> int:
        """The number of the last frame."""
        return self.frames - 1


def serve_table(database: str, port: int) -> str:
    """The settings of one service."""
    dataset = {"table": f"public.{NAME}", "key": "uid", "time": "created_at", "read": COLUMNS, "write": COLUMNS}
    return _written({"serve": {"database": database, "port": port}, f"serve.datasets.{NAME}": dataset})


def pipeline_table(script: Script, space: Path, source: str, sink: str) -> str:
    """The settings of the pipeline."""
    settings = {
        "base": written(script.grid.base),
        "space": str(space),
        "delay_seconds": DELAY_SECONDS,
        "lookback_minutes": LOOKBACK_SECONDS / 60,
    }
    asked = {"preset": "serve", "url": source, "requests_per_second": script.per_second, "timeout_seconds": 2}
    sent = {"preset": "serve", "url": sink, "in_flight": PUSHED_AT_ONCE, "timeout_seconds": 2, "retry_most_ms": 1000}
    return _written({"pipeline": settings, "pipeline.source": asked, "pipeline.sink": sent})


def _written(found: dict[str, dict[str, Any]]) -> str:
    """Tables in TOML."""
    lines: list[str] = []
    for title, table in found.items():
        lines += [f"[{title}]", *(f"{name} = {json.dumps(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"
