"""The quota is of what both spaces really take; what is stored between two looks is added."""

import io
import json
from collections.abc import AsyncIterator

import pytest

from snk.pipeline.page import Page
from snk.pipeline.pull import Pull, Pulling
from snk.pipeline.run_pull import WEIGH_SECONDS, weigh_now
from snk.pipeline.schedule import Looking
from snk.pipeline.source import Source
from snk.pipeline.space import Space
from tests.pipeline.test_model import ASKING

RECORDS, FILLER = 10, 2_000


class Sender(Source):
    """The source, without a network; each frame has as many records."""

    async def pages(self, start: str, end: str, over_at: float) -> AsyncIterator[Page]:
        _ = end, over_at
        found = [{"uid": f"{start} {number}", "at": start, "filler": "x" * FILLER} for number in range(RECORDS)]
        yield self._asking.reading.page(io.BytesIO(json.dumps(found).encode()))


def made(space: Space, quota: int) -> Pull:
    looking = Looking(space.grid, 60.0)
    plan = Pulling(looking, 0.0, follows=False, oldest_share=0.5, in_flight=1, quota=quota)
    return Pull(space, Sender(ASKING, space.sss), plan)


async def test_files_that_are_not_finished_are_left_out(space: Space) -> None:
    before = space.size()
    (space.frames.path / ".20261125T000000Z.jsonl").write_bytes(b"x" * 100_000)
    assert space.size() == before
    (space.frames.path / "20261125T000000Z.jsonl").write_bytes(b"x" * 100_000)
    assert space.size() >= before + 100_000


async def test_what_is_stored_counts_at_once_and_what_was_removed_counts_no_more(space: Space) -> None:
    quota = 10 * RECORDS * FILLER
    pull = made(space, quota)
    await pull.load()
    await pull.weigh()
    for frame in range(30):  # three times as much as there is room for
        await pull.pull(frame)
        assert not pull.full
        for file in space.frames.path.iterdir():  # it was pushed
            file.unlink()
    for frame in range(30, 60):
        if not pull.full:
            await pull.pull(frame)
    assert "(pipeline.quota_bytes)" in pull.full
    assert quota <= space.size() < quota + 5 * RECORDS * FILLER


@pytest.mark.parametrize(
    ("since", "took", "full", "now"),
    [
        (float("inf"), 0.0, False, True),
        (WEIGH_SECONDS - 1, 0.01, False, False),
        (WEIGH_SECONDS, 0.01, False, True),
        (1.0, 0.01, True, True),
        (1.0, 0.5, True, False),
        (5.0, 0.5, True, True),
        (WEIGH_SECONDS, 3.0, False, False),
    ],
)
def test_weighing_takes_little_of_the_time(since: float, took: float, *, full: bool, now: bool) -> None:
    assert weigh_now(since, took, full=full) == now
