"""Programs of SNK as child processes, known by names, each with a log of its name; and waiting for what they do."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from snk.embedded.process import Child, spawn
from snk.errors import ServersUnfit

START_SECONDS = 30.0
STOP_SECONDS = 10.0
LOOK_SECONDS = 0.1
_PLAIN = {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


class Processes:
    """Processes by their names; a name is that of the process which was started last under it."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: dict[str, Child] = {}

    def start(self, name: str, words: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Start a program.

        Args:
            name: by which it is known.
            words: a module of Python, and its arguments.
            environment: variables that are different for it.
        """
        self._children[name] = spawn(
            [sys.executable, "-m", *map(str, words)],
            Path.cwd(),
            self.log(name),
            None,
            signal.SIGKILL,
            environment={**os.environ, **_PLAIN, **(environment or {})},
        )

    def log(self, name: str) -> Path:
        """Where the output of a process goes."""
        return self._logs / f"{name}.log"

    def pid(self, name: str) -> int:
        """The id of a process."""
        return self._children[name].pid

    async def ready(self, name: str, true: Callable[[], Awaitable[bool]]) -> None:
        """Wait until a process that was started is ready, which it is when something is true.

        Raises:
            ServersUnfit: it ended, or took too long.
        """

        async def is_ready() -> bool:
            if not self._children[name].running:
                raise self.failure(name, "does not start")
            return await true()

        if not await until(is_ready, START_SECONDS):
            raise self.failure(name, "does not answer")

    def kill(self, name: str) -> None:
        """End a process by SIGKILL."""
        self._children[name].kill()

    async def stop(self, name: str) -> int | None:
        """Tell a process to stop, and return its exit code; None if it takes too long."""
        self._children[name].send(signal.SIGTERM)
        return await self.ended(name, STOP_SECONDS)

    async def ended(self, name: str, seconds: float) -> int | None:
        """Wait until a process has ended by itself, and return its exit code; None if it takes longer."""

        async def has_ended() -> bool:
            return not self._children[name].running

        await until(has_ended, seconds)
        return self._children[name].exit_code

    def end(self) -> None:
        """End all processes."""
        for child in self._children.values():
            child.kill()

    def last_lines(self, name: str) -> str:
        """What a process said last."""
        return self._children[name].last_lines()

    def failure(self, name: str, how: str) -> ServersUnfit:
        """An error that shows what a process said last."""
        return ServersUnfit(f"{name} {how}; its log ends with:\n{self.last_lines(name)}")


async def until(true: Callable[[], Awaitable[bool]], seconds: float, every_seconds: float = LOOK_SECONDS) -> bool:
    """Look until it is true; return whether it became true in time."""
    end = time.monotonic() + seconds
    while not await true():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(every_seconds)
    return True
