"""Starts what docker-compose would start, as processes."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Launch = Callable[[str], "subprocess.Popen[str]"]


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
