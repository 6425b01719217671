"""Folders and logs that the server may not read or write."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import thread
from pathlib import Path

import pytest

from snk.handoff.doctor import examine
from snk.handoff.settings import load_settings
from snk.handoff.status import Limits, Watcher
from tests.kit.handoff import NEXT, OLD, World, backend_of, line, until
from tests.kit.scripted import Backend

NOBODY = 65534
IMPORTED_LATE = thread
"""What Python would import only when it is used, from where nobody may read."""


@pytest.fixture
def world() -> Iterator[World]:
    """Folders of a user who is not root: root may read and write everything."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made:
        folder = Path(made)
        root = os.geteuid() == 0
        if root:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield World(folder)
        finally:
            if root:
                os.seteuid(0)


async def test_an_unreadable_folder_is_told_once_and_picked_up_when_it_is_readable(
    world: World, backend: Backend, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = world.write(backend.name, line("a")).parent
    folder.chmod(0)
    async with world.running() as server:
        await until(lambda: backend.name in server.monitor.last.unreadable, "it is told")
        assert any("cannot be read" in each for each in Watcher(server, Limits()).status().troubles)
        await asyncio.sleep(0.5)
        folder.chmod(0o755)
        await until(lambda: len(backend.got) == 1, "it is read")
    assert capfd.readouterr().out.count("folder_unreadable") == 1


async def test_an_unreadable_log_does_not_stop_the_others(
    world: World, backend: Backend, capfd: pytest.CaptureFixture[str]
) -> None:
    log = world.write(backend.name, line("a"))
    log.chmod(0)
    world.write(backend.name, line("b"), NEXT)
    async with world.running() as server:
        await until(lambda: len(backend.got) == 1, "the other log")
        assert backend_of(server, backend.name).logs[OLD].trouble
        log.chmod(0o644)
        await until(lambda: len(backend.got) == 2, "it is read")
    assert capfd.readouterr().out.count("log_unreadable") == 1


async def test_a_finished_log_that_cannot_be_deleted_is_told_and_not_sent_again(
    world: World, backend: Backend, capfd: pytest.CaptureFixture[str]
) -> None:
    log = world.write(backend.name, line("a"))
    log.parent.chmod(0o555)
    async with world.running() as server:
        watcher = Watcher(server, Limits())
        await until(lambda: bool(backend_of(server, backend.name).undeletable), "it is told")
        assert any("cannot be deleted: Permission denied" in each for each in watcher.status().troubles)
        findings = [each async for each in examine(load_settings(world.config()))]
        assert any("may not write to" in each.message for each in findings if each.level == "error")
        log.parent.chmod(0o755)
        await until(lambda: not log.exists(), "it is deleted")
        await until(lambda: not watcher.status().troubles, "the trouble is over")
    assert len(backend.got) == 1
    assert capfd.readouterr().out.count("log_undeletable") == 1


async def test_state_that_cannot_be_written_when_a_backend_appears_is_waited_for(
    world: World, backend: Backend
) -> None:
    async with world.running() as server:
        progress = world.folder / "state" / "progress"
        progress.chmod(0o555)
        world.write(backend.name, line("a") + line("b"))
        await until(lambda: bool(server.durable.trouble), "it is told")
        progress.chmod(0o755)
        await until(lambda: not server.durable.trouble and len(backend.got) >= 2, "it goes on")
