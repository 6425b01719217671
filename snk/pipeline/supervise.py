"""Starts pull and push as processes of their own, starts them again when they end, and ends them."""

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import structlog

from snk.core.backoff import Backoff
from snk.embedded.process import Child, spawn
from snk.pause import pause

LOOK_SECONDS = 0.1
END_SECONDS = 4.0
GOOD_SECONDS = 60.0
"""A process that worked so long is started again at once, whatever ended it: its settings are right."""
NEEDS_PERSON = 2
NAMES = ("pull", "push")

log = structlog.get_logger()


class Supervisor:
    """Both processes.

    Attributes:
        code: of the process that ended because a person has to change something; 0 if none did.
    """

    def __init__(self, config: Path, log_format: str) -> None:
        self.code = 0
        self._words = ["--config", str(config), "--log-format", log_format]
        self._children: dict[str, Child] = {}

    @property
    def running(self) -> bool:
        """Whether both run."""
        return len(self._children) == len(NAMES) and all(child.running for child in self._children.values())

    async def run(self, stop: asyncio.Event) -> None:
        """Keep both running until told to stop, or until one cannot work before a person has changed something."""
        try:
            async with asyncio.TaskGroup() as group:
                for name in NAMES:
                    group.create_task(self._keep(name, stop))
        finally:
            self._end()

    async def _keep(self, name: str, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff(0.2, 30.0)
        while not stop.is_set():
            began = loop.time()
            child = self._children[name] = self._start(name)
            while child.running and not stop.is_set():
                await pause(stop, LOOK_SECONDS)
            if stop.is_set():
                return
            worked = loop.time() - began > GOOD_SECONDS
            if child.exit_code == NEEDS_PERSON and not worked:
                self.code = NEEDS_PERSON
                stop.set()
                return
            log.error("process_ended", process=name, exit_code=child.exit_code, effect="it is started again")
            backoff = Backoff(0.2, 30.0) if worked else backoff.failed()
            await pause(stop, backoff.wait_seconds(random.random()) if backoff.tries > 1 else 0.0)  # noqa: S311 - jitter

    def _start(self, name: str) -> Child:
        command = [sys.executable, "-m", "snk", "pipeline", name, *self._words]
        return spawn(command, Path.cwd(), None, None, signal.SIGTERM, environment=os.environ)

    def _end(self) -> None:
        for child in self._children.values():
            child.send(signal.SIGTERM)
        for child in self._children.values():
            child.end(signal.SIGTERM, END_SECONDS)
