"""What the files tell, whoever runs."""

from pathlib import Path

import pytest

from snk.pipeline.frame import Grid, Portion
from snk.pipeline.framefile import End, Making
from snk.pipeline.proof import Done, Proofs
from snk.pipeline.schedule import Looking
from snk.pipeline.space import Space
from snk.pipeline.status import Known, Status, Watcher

GRID = Grid(1_795_564_800)


@pytest.fixture
def space(tmp_path: Path) -> Space:
    made = Space(tmp_path, GRID)
    made.make(made.sss)
    made.make(made.rss)
    return made


def pulled(space: Space, portion: Portion, *uids: str) -> None:
    making = Making(space.frames.file(portion))
    for uid in uids:
        making.add(uid, {"uid": uid}, b"{}")
    making.finish(End(GRID.iso(portion.frame), portion.part, making.digest.count, making.digest.hex, 40.0))


def done(space: Space, portion: Portion, count: int) -> None:
    Proofs(space).add(portion, Done(GRID.iso(portion.frame), count, "0" * 32, portion.part))


def status(space: Space) -> Status:
    return Watcher(space, Known(Looking(GRID, 3600.0), 30.0, 0, digests=False)).status()


def test_a_supplement_that_waits_is_not_taken_for_pushed(space: Space) -> None:
    """Otherwise all would seem to be done while late records are still on their way."""
    pulled(space, Portion(0), "a", "b")
    done(space, Portion(0), 2)
    assert (status(space).pulled, status(space).done, status(space).late) == (0, 1, 0)
    pulled(space, Portion(0, 1), "c")
    told = status(space)
    assert (told.pulled, told.pushing, told.late, told.waiting_records) == (1, 0, 1, 1)
    space.uids.file(Portion(0, 1)).touch()
    told = status(space)
    assert (told.pulled, told.pushing, told.late) == (0, 1, 1)
    done(space, Portion(0, 1), 1)
    told = status(space)
    assert (told.pulled, told.pushing, told.done, told.late, told.records) == (0, 0, 1, 1, 3)
