"""What push does about files that cannot be read, and how many it has open at once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from snk.core.backoff import Backoff
from snk.pipeline import parcels as reading
from snk.pipeline.frame import Portion
from snk.pipeline.framefile import End, Line, lines
from snk.pipeline.mapping import Mapper
from snk.pipeline.parcels import Parcels
from snk.pipeline.push import AHEAD, MOST_OPEN, Push
from snk.pipeline.sink import Sink
from snk.pipeline.space import Space
from tests.kit.pipeline import write_frame
from tests.pipeline.test_model import SENDING

RECORDS = 2 * AHEAD


@pytest.fixture
async def push(space: Space) -> AsyncIterator[Push]:
    made = Push(space, Sink(SENDING), Mapper({}), Backoff(0.01, 0.01), 1.0)
    yield made
    await made.close()


def pulled(space: Space, frame: int, count: int) -> None:
    write_frame(space, Portion(frame), *(f"{frame}-{number}" for number in range(count)))


def failing(error: Callable[[], Exception]) -> Callable[[Path], Iterator[Line | End]]:
    """Read the first records, and fail then."""

    def read(file: Path) -> Iterator[Line | End]:
        for number, line in enumerate(lines(file)):
            if number == RECORDS // 2:
                raise error()
            yield line

    return read


def test_a_frame_that_cannot_be_read_is_not_done_and_tried_again(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    pulled(space, 0, RECORDS)
    monkeypatch.setattr(reading, "lines", failing(lambda: OSError(5, "Input/output error")))
    parcels = Parcels(space, Portion(0), Mapper({}), SENDING)
    taken = list(iter(parcels.take, None))
    assert len(taken) == RECORDS // 2
    assert (parcels.drained, parcels.whole, parcels.refused) == (True, False, False)
    assert "Input/output error" in parcels.trouble
    parcels.close()


async def test_an_error_that_nobody_expects_ends_the_process_and_proves_nothing(
    space: Space, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a callback of the loop it would only be logged, and what was read so far be taken for the whole frame."""
    pulled(space, 0, RECORDS)
    monkeypatch.setattr(reading, "lines", failing(lambda: TypeError("unexpected")))
    push.load()
    push._later.soon()
    while push._later.failure is None:
        await asyncio.sleep(0)
    with pytest.raises(TypeError, match="unexpected"):
        await push.lane(asyncio.Event())
    for parcels in push.open:
        parcels.under_way = parcels.left = 0  # as if all that was read had been acknowledged
        parcels.drained = True
    await push.finish()
    assert Portion(0) not in push.proofs


async def test_however_many_frames_are_empty_few_are_open_at_once(space: Space, push: Push) -> None:
    count = 3 * MOST_OPEN
    for frame in range(count):
        pulled(space, frame, 0)
    pulled(space, count, 1)
    push.load()
    most = 0
    for _ in range(2 * count):
        found: Any = push._next()
        most = max(most, len(push.open))
        if found:
            break
        await push.finish()
    assert found
    assert most == push.slots + MOST_OPEN
    assert len(push.proofs.frames) >= count - most
