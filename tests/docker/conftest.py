"""Starts what docker-compose would start, as processes."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Launch = Callable[[str], "subprocess.Popen[str]"]
Check = Callable[[str], Awaitable[int]]
"""Runs a service's health check as Docker does, and returns its exit code."""


@pytest.fixture
def launch(found: dict[str, Any], tmp_path: Path) -> Iterator[Launch]:
    """Start a service by its name; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def run(name: str) -> "subprocess.Popen[str]":
        service = found[name]
        with (tmp_path / f"{name}.log").open("w") as log:
            started.append(
                subprocess.Popen(
                    service["command"],
                    env=service["environment"],
                    cwd=tmp_path,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def check(found: dict[str, Any], ports: dict[str, str], tmp_path: Path) -> Check:
    """Run a service's health check, with the ports of this test."""

    async def run(name: str) -> int:
        _, *words = found[name]["healthcheck"]["test"]
        for given, port in ports.items():
            words = [word.replace(given, port) for word in words]
        environment = found[name]["environment"]
        return await asyncio.to_thread(subprocess.call, words, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL)

    return run
