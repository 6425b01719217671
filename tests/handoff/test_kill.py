"""The sync server as a process: killed at any moment, short of descriptors, and without room on its disk."""

import asyncio
import os
import random
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from snk.handoff.doctor import examine
from snk.handoff.settings import load_settings
from tests.kit.handoff import World, backend_of, killed, line, lines, started, until
from tests.kit.scripted import Backend

THREADS = 4
BACKENDS = 3


@pytest.mark.parametrize(
    ("count", "kills"),
    [
        (3_000, 5),
        pytest.param(100_000, 10, marks=pytest.mark.full),
    ],
)
async def test_killed_at_any_moment_it_loses_nothing_and_sends_twice_only_what_was_under_way(
    world: World, backends: Callable[[], Awaitable[Backend]], count: int, kills: int
) -> None:
    targets = [await backends() for _ in range(BACKENDS)]
    for number, backend in enumerate(targets):
        for minute in range(10):
            share = range(number, count, BACKENDS)[minute::10]
            world.write(backend.name, lines(share), f"2023-11-14-22-{minute:02}.log")
    config = world.config(threads=THREADS)
    for kill in range(1, kills + 1):
        process = started(config, "run")
        enough = count * kill // (kills + 1) + random.randrange(max(1, count // (3 * kills)))
        try:
            await until(lambda: sum(len(each.got) for each in targets) >= enough, "some lines", 300)  # noqa: B023
        finally:
            await asyncio.to_thread(killed, process)
    process = started(config, "run", "--once")
    await asyncio.to_thread(process.communicate)
    assert process.returncode == 0
    sent = Counter(target for each in targets for target in each.targets)
    assert len(sent) == count
    assert sent.total() - count <= kills * THREADS * BACKENDS
    assert not [path for path in world.logs.glob("*/*") if path.is_file()]
    assert not list((world.folder / "state" / "progress").glob("*/*"))


@pytest.mark.long
@pytest.mark.parametrize("count", [3_000, pytest.param(20_000, marks=pytest.mark.full)])
async def test_sixty_four_descriptors_are_enough_for_any_number_of_logs(
    world: World, backend: Backend, count: int
) -> None:
    for number in range(count):
        day, minute = divmod(number, 1440)
        name = f"2023-10-{1 + day:02}-{minute // 60:02}-{minute % 60:02}.log"
        world.write(backend.name, line(str(number)), name)

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    command = [sys.executable, "-m", "snk", "handoff", "run", "--once", "--config", str(world.config())]
    process = subprocess.Popen(command, preexec_fn=few, stderr=subprocess.PIPE)  # noqa: PLW1509 - it sets a limit
    _, told = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0, told.decode()[-2000:]
    assert (len(backend.got), len(set(backend.targets))) == (count, count)
    assert b"Too many open files" not in told


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with little room."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.long
async def test_a_full_disk_pauses_it_and_it_goes_on_by_itself(
    world: World, backend: Backend, small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (world.folder / "state").symlink_to(small_disk)
    backend.says = lambda got: web.Response(status=400 if "bad" in got.target else 200)
    world.write(backend.name, lines(range(50)) + line("bad", value=b"x" * 30_000) + lines(range(50, 100)))
    filler = small_disk / "filler"
    async with world.running() as server:
        known = backend_of(server, backend.name)
        await until(lambda: known.counts.synced == 100 and len(world.dead()) == 1, "all lines while there is room")
        await until(lambda: not known.logs, "the log is released, and its progress takes no room any more")
        with filler.open("wb", buffering=0) as full:
            for size in (4096, 1):
                try:
                    while True:
                        full.write(b"x" * size)
                except OSError:
                    pass
        world.write(backend.name, lines(range(200, 1200)) + line("bad2", value=b"y" * 60_000), "2023-11-15-00-00.log")
        await until(lambda: known.state == "waiting for the disk", "it waits")
        under = len(backend.got)
        await asyncio.sleep(0.5)
        assert len(backend.got) <= under + THREADS
        findings = [each async for each in examine(load_settings(world.config()))]
        assert [each.subject for each in findings if "is full" in each.message] == ["handoff.state"]
        filler.unlink()
        await until(lambda: known.counts.synced == 1100 and len(world.dead()) == 2, "it goes on")
    told = capfd.readouterr().out
    assert told.count("state_unwritable") == 1
    assert "cannot be written: No space left on device" in told
    assert len(set(backend.targets)) == len(backend.got)


@pytest.mark.long
async def test_a_backend_that_is_down_does_not_hold_up_the_logs_of_others_after_a_kill(
    world: World, backend: Backend, backends: Callable[[], Awaitable[Backend]]
) -> None:
    down = await backends()
    await down.stop()
    world.write(down.name, lines(range(1000)))
    world.write(backend.name, lines(range(1000)))
    process = started(world.config(), "run")
    try:
        await until(lambda: len(backend.got) == 1000, "the backend that is alive")
    finally:
        await asyncio.to_thread(killed, process)
    await down.start()
    process = started(world.config(), "run", "--once")
    await asyncio.to_thread(process.communicate)
    assert (process.returncode, len(down.got)) == (0, 1000)
    assert len(backend.got) <= 1000 + THREADS
