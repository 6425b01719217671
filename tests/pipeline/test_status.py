"""The status follows from the files, whether or not the processes run."""

from snk.pipeline.frame import Portion
from snk.pipeline.proof import Done, Proofs
from snk.pipeline.report import Report, me, tell
from snk.pipeline.schedule import Looking
from snk.pipeline.space import Space
from snk.pipeline.status import Known, Status, Watcher
from tests.kit.pipeline import GRID, write_frame


def done(space: Space, portion: Portion, count: int) -> None:
    Proofs(space).add(portion, Done(GRID.iso(portion.frame), count, "0" * 32, portion.part))


def status(space: Space) -> Status:
    return Watcher(space, Known(Looking(GRID, 3600.0), 30.0, 0, digests=False)).status()


def test_a_supplement_that_waits_is_not_taken_for_pushed(space: Space) -> None:
    """Otherwise all would seem to be done while late records are still on their way."""
    write_frame(space, Portion(0), "a", "b")
    done(space, Portion(0), 2)
    assert (status(space).pulled, status(space).done, status(space).late) == (0, 1, 0)
    write_frame(space, Portion(0, 1), "c")
    told = status(space)
    assert (told.pulled, told.pushing, told.late, told.waiting_records) == (1, 0, 1, 1)
    space.uids.file(Portion(0, 1)).touch()
    told = status(space)
    assert (told.pulled, told.pushing, told.late) == (0, 1, 1)
    done(space, Portion(0, 1), 1)
    told = status(space)
    assert (told.pulled, told.pushing, told.done, told.late, told.records) == (0, 0, 1, 1, 3)


def test_what_push_counted_for_a_frame_that_is_done_meanwhile_counts_once(space: Space) -> None:
    """Push tells once a second; a frame that it counts for as unfinished may have a proof by now."""
    lost = {GRID.name(Portion(0)): 1, GRID.name(Portion(0, 1)): 2}
    tell(space.rss, Report(**me(), ambiguous=lost))
    assert status(space).ambiguous == 3
    Proofs(space).add(Portion(0), Done(GRID.iso(0), 2, "0" * 32, ambiguous=1))
    assert status(space).ambiguous == 3
