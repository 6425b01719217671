"""What became of each frame follows from what was found of it; the worst that is known of it counts."""

from snk.core.intervals import Intervals
from snk.pipeline.frame import Portion
from snk.pipeline.proof import Done, Marked, Proofs
from snk.pipeline.schedule import Looking
from snk.pipeline.space import Space
from snk.pipeline.states import STATES, Frames, Waiting
from snk.pipeline.status import Known, Watcher
from tests.kit.pipeline import GRID

FOUND = Frames(
    due=Intervals.of([(0, 7)]),
    done=Intervals.of([(0, 3), (6, 6)]),
    waiting=(Waiting(Portion(1, 1)), Waiting(Portion(2, 1), again=True), Waiting(Portion(4))),
    late=frozenset({3}),
    dropped=frozenset({6}),
    aside=frozenset({7}),
)
STATES_OF = ["done", "late", "pulled", "late", "pulled", "missing", "given up", "quarantined", "not due", "not due"]


def test_each_frame_has_one_state() -> None:
    assert [STATES[code] for code in FOUND.states(0, 10)] == STATES_OF
    assert [FOUND.state(frame) for frame in range(10)] == STATES_OF


def test_a_part_of_the_frames_has_the_same_states() -> None:
    for low in range(10):
        for high in range(low, 11):
            assert [STATES[code] for code in FOUND.states(low, high)] == STATES_OF[low:high]


def test_of_a_frame_that_was_sent_again_what_was_before_does_not_count() -> None:
    late, dropped, again = Done("", 1, "0", 1), Done("", 0, "0", dropped="by hand"), Done("", 2, "0", 2, again=True)
    marked = Marked()
    marked.add(Portion(0), dropped)
    marked.add(Portion(0, 1), late)
    assert (marked.late, marked.dropped) == ({0}, {0})
    marked.add(Portion(0, 2), again)
    assert (marked.late, marked.dropped) == (set(), set())


def test_proofs_of_a_day_that_is_over_tell_the_same_as_single_ones(space: Space) -> None:
    watcher = Watcher(space, Known(Looking(GRID, 3600.0), 30.0, 0, digests=False))
    given = [Portion(0), Portion(0, 1), Portion(1), Portion(2)]
    for portion in given:
        dropped = "by hand" if portion.frame == 2 else ""
        watcher._proofs.add(portion, Done(GRID.iso(portion.frame), 1, "0" * 32, portion.part, dropped=dropped))
    for _ in range(2):
        watcher.status()
        assert [watcher.frames.state(frame) for frame in range(3)] == ["late", "done", "given up"]
        assert [list(watcher.proofs_of(frame)) for frame in range(3)] == [given[:2], given[2:3], given[3:]]
        watcher._proofs.compact(GRID.start(0) + 2 * 86_400)
    assert [file.name for file in space.done.path.iterdir()] == ["20261125.jsonl"]


def test_proofs_that_are_put_into_the_file_of_their_day_meanwhile_count_once(space: Space) -> None:
    seen, push = Proofs(space), Proofs(space)
    for frame in range(3):
        push.add(Portion(frame), Done(GRID.iso(frame), 5, "0" * 32))
    seen.refresh()
    push.compact(GRID.start(0) + 2 * 86_400)
    assert (seen.totals().records, len(seen.frames)) == (15, 3)
