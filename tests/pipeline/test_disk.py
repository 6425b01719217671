"""No room on the disk: both processes pause, say so, and go on by themselves."""

import asyncio
import os
import random
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.kit.pipeline import Pair, record, second_ago

KIB = 1024


@pytest.fixture
def small(pair: Pair) -> Iterator[Path]:
    """The space is a file system with little room."""
    pair.space.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(pair.space)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system")
    yield pair.space
    subprocess.run(["umount", "-l", str(pair.space)], check=True)


def _fill(folder: Path, left: int) -> None:
    """Leave so many bytes."""
    state = os.statvfs(folder)
    size = state.f_bavail * state.f_frsize - left
    with (folder / "filler").open("ab", buffering=0) as filler:
        try:
            while size > 0:
                size -= filler.write(bytes(min(size, 4 * KIB)))
        except OSError:
            pass


def _records(pair: Pair, frames: int, filler: int = 100) -> None:
    pair.seconds = 1
    pair.base = second_ago(frames + 1)
    pair.sender.records = [
        record(f"{frame}-{number}", pair.start_of(frame), "x" * filler)
        for frame in range(frames)
        for number in range(3)
    ]


@pytest.mark.long
@pytest.mark.parametrize(("frames", "times"), [(120, 4), pytest.param(400, 30, marks=pytest.mark.full)])
async def test_a_disk_that_is_full_again_and_again_loses_nothing(
    pair: Pair, small: Path, frames: int, times: int
) -> None:
    """It is full at any write of either process."""
    _records(pair, frames)

    async def slow(_: web.Request) -> None:
        await asyncio.sleep(0.003)

    pair.receiver.answer = slow
    pair.configure(source={"requests_per_second": 60})
    pair.start("pull")
    pair.start("push")
    for moment in sorted(random.randrange(frames * 3 * 3 // 4) for _ in range(times)):
        await pair.until(lambda: len(pair.receiver.stored) >= moment, 120)  # noqa: B023 - it is waited for here
        before, left = pair.logs().count("space_unwritable"), random.choice((0, 4 * KIB, 8 * KIB, 16 * KIB, 40 * KIB))

        def told() -> bool:
            _fill(small, left)  # noqa: B023 - once more, because pull may have removed frames meanwhile
            return pair.logs().count("space_unwritable") > before or len(pair.finished()) >= frames  # noqa: B023

        await pair.until(told)
        (small / "filler").unlink()
        await pair.until(lambda: pair.logs().count("space_writable") == pair.logs().count("space_unwritable"))
    assert "space_unwritable" in pair.logs()
    await pair.all_arrived(frames, 120)
    assert max(Counter(pair.receiver.received).values()) == 1
    assert not pair.set_aside()


async def _both_tell(pair: Pair) -> None:
    """Wait until both processes have looked and told again, twice at least."""
    before = {own: pair.told(own)["at"] for own in ("sss", "rss")}
    await pair.until(lambda: all(pair.told(own)["at"] > at + 2 for own, at in before.items()))


async def _full_for_good(pair: Pair, small: Path) -> None:
    """Fill the disk until nothing is under way that makes room: pull removes what push has finished meanwhile."""

    def full() -> bool:
        _fill(small, 0)
        return all("cannot be written: No space left" in pair.told(own)["trouble"] for own in ("sss", "rss"))

    seen: tuple[int, int] | None = None
    while seen != (seen := (pair.logs().count("space_writable"), len(pair.receiver.received))):
        await pair.until(full)
        await _both_tell(pair)


def _told_of_space(pair: Pair) -> list[list[str]]:
    """What each process has told of its space, in its order."""
    return [re.findall(r"\bspace_(unwritable|writable)\b", pair.log(name)) for name in ("pull", "push")]


@pytest.mark.long
async def test_a_full_disk_is_told_once_and_in_the_status(pair: Pair, small: Path) -> None:
    _records(pair, 600)

    async def slow(_: web.Request) -> None:
        await asyncio.sleep(0.02)  # so that there always is something to push

    pair.receiver.answer = slow
    pair.configure(source={"requests_per_second": 60})
    pair.start("pull")
    pair.start("push")
    await pair.until(lambda: len(pair.receiver.stored) >= 10 and pair.told("rss")["at"])
    await _full_for_good(pair, small)
    received, logs = len(pair.receiver.received), _told_of_space(pair)
    await _both_tell(pair)
    assert len(pair.receiver.received) == received
    assert _told_of_space(pair) == logs
    for told in logs:
        assert told == ["unwritable", "writable"] * (len(told) // 2) + ["unwritable"]
    status = await asyncio.to_thread(pair.status)
    assert sum("No space left" in trouble for trouble in status["troubles"]) == 2
    (small / "filler").unlink()
    await pair.until(lambda: all(told[-1] == "writable" for told in _told_of_space(pair)))
    before = len(pair.receiver.received)
    await pair.until(lambda: len(pair.receiver.received) > before)


@pytest.mark.long
async def test_an_answer_that_does_not_fit_on_the_disk_waits_for_room(pair: Pair, small: Path) -> None:
    """A large answer is kept on disk while it is read."""
    pair.seconds = 3600
    pair.base = second_ago(5400)
    pair.sender.records = [record(str(number), pair.base, "x" * 10_000) for number in range(120)]
    pair.configure()
    _fill(small, 500 * KIB)
    pair.start("pull")
    pair.start("push")
    await pair.until(lambda: "space_unwritable" in pair.log("pull"))
    assert not pair.waiting()
    (small / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", str(small)], check=True)
    await pair.all_arrived(1)


@pytest.mark.long
async def test_the_quota_pauses_pull_until_there_is_room(pair: Pair) -> None:
    """The receiving server is down, so that nothing is pushed; what is pulled is bounded."""
    _records(pair, 200, 4_000)
    down = True

    async def gone(_: web.Request) -> web.Response | None:
        return web.Response(status=503) if down else None

    pair.receiver.answer = gone
    quota = 800 * KIB
    pair.configure(quota_bytes=quota, sink={"in_flight": 8}, source={"in_flight": 2})
    pair.start("pull")
    pair.start("push")
    await pair.until(lambda: "(pipeline.quota_bytes)" in pair.told("sss")["trouble"])
    told = pair.told("sss")["at"]
    await pair.until(lambda: pair.told("sss")["at"] > told + 2)
    assert _size(pair.space) < quota + 200 * KIB
    assert pair.log("pull").count("quota_reached") == 1
    down = False
    await pair.until(lambda: len(pair.receiver.stored) > 300)
    assert not pair.set_aside()
    assert max(Counter(pair.receiver.received).values()) == 1


def _size(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("[!.]*"))
