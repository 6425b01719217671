"""Proofs say the same whether they lie in a file each or in one of their day."""

import random
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snk.core.canonical import Digest
from snk.pipeline.frame import Grid, Portion
from snk.pipeline.proof import DAY_SECONDS, Done, Proofs, Totals, combined, read_floor
from snk.pipeline.space import Space
from tests.kit.crash import Crash, Disk, Fault

BASE = 1_795_564_800  # 2026-11-25T00:00:00Z
GRID = Grid(BASE, 21_600)  # four frames a day
portions = st.builds(Portion, st.integers(0, 11), st.integers(0, 2))


def made(root: Path) -> Space:
    space = Space(root, GRID)
    space.make(space.sss)
    space.make(space.rss)
    return space


def done(portion: Portion, count: int = 3) -> Done:
    return Done(GRID.iso(portion.frame), count, f"{count:032x}", portion.part, ambiguous=1, stored=portion.part)


def fresh(space: Space) -> Proofs:
    proofs = Proofs(space)
    proofs.refresh()
    return proofs


def said(proofs: Proofs) -> tuple[object, ...]:
    return proofs.frames, proofs.supplements, proofs.totals(), proofs.between(0, 99)


@settings(max_examples=60)
@given(st.lists(st.one_of(portions, st.integers(0, 3)), max_size=20))
def test_proofs_are_the_same_however_they_are_kept(steps: list[Portion | int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        space = made(Path(folder))
        proofs, known = fresh(space), dict[Portion, Done]()
        for step in steps:
            if isinstance(step, int):
                proofs.compact(BASE + step * DAY_SECONDS)
            elif step not in known:
                known[step] = done(step, len(known))
                proofs.add(step, known[step])
            for each in (proofs, fresh(space)):
                assert set(each.frames) == {portion.frame for portion in known if not portion.part}
                assert each.supplements == {portion for portion in known if portion.part}
                assert all(portion in each for portion in known)
                totals = Totals()
                for proof in known.values():
                    totals = totals.plus(proof)
                assert each.totals() == totals
                assert [proof for parts in each.between(0, 99).values() for proof in parts] == [
                    known[portion] for portion in sorted(known)
                ]


def test_only_days_that_are_over_are_compacted(tmp_path: Path) -> None:
    space = made(tmp_path)
    proofs = fresh(space)
    for frame in range(8):
        proofs.add(Portion(frame), done(Portion(frame)))
    proofs.compact(BASE + 2 * DAY_SECONDS - 1)
    names = sorted(path.name for path in space.done.path.iterdir())
    assert names[0] == "20261125.jsonl"
    assert len(names) == 5


def test_a_crash_at_any_operation_of_compaction_changes_nothing_that_proofs_say(tmp_path: Path) -> None:
    for at in range(1, 15):
        space = made(tmp_path / str(at))
        proofs = fresh(space)
        for frame in range(4):
            proofs.add(Portion(frame), done(Portion(frame)))
        proofs.add(Portion(1, 1), done(Portion(1, 1)))
        before = said(fresh(space))
        with pytest.MonkeyPatch.context() as patch:
            Disk(space.root, [Fault(at, "kill")], random.Random(at)).install(patch)
            with suppress(Crash):
                proofs.compact(BASE + DAY_SECONDS)
        assert said(fresh(space)) == before
        again = fresh(space)
        again.compact(BASE + DAY_SECONDS)
        assert said(again) == said(fresh(space)) == before
        assert [path.name for path in space.done.path.glob("[0-9]*")] == ["20261125.jsonl"]


def test_proofs_may_be_added_while_others_look_at_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Push adds them in threads, and compares frames with the database meanwhile."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    proofs = fresh(made(tmp_path))

    def add() -> None:
        for at in range(1000):
            proofs.add(Portion(at), done(Portion(at)))

    adding = threading.Thread(target=add)
    adding.start()
    try:
        while adding.is_alive():
            proofs.totals()
            proofs.between(0, 1000)
    finally:
        adding.join()
        sys.setswitchinterval(before)
    assert len(proofs.between(0, 1000)) == 1000


def test_what_is_removed_stays_done(tmp_path: Path) -> None:
    space = made(tmp_path)
    proofs = fresh(space)
    for frame in range(12):
        proofs.add(Portion(frame), done(Portion(frame)))
    proofs.compact(BASE + 3 * DAY_SECONDS)
    assert proofs.remove_below(8) == 2
    assert (proofs.floor, read_floor(space)) == (8, 8)
    assert set(fresh(space).frames) == set(range(12))
    assert Portion(3, 1) in proofs
    assert sorted(fresh(space).between(0, 99)) == [8, 9, 10, 11]


def test_nothing_is_removed_above_a_frame_that_is_not_done(tmp_path: Path) -> None:
    space = made(tmp_path)
    proofs = fresh(space)
    for frame in range(12):
        if frame != 5:
            proofs.add(Portion(frame), done(Portion(frame)))
    proofs.compact(BASE + 3 * DAY_SECONDS)
    assert proofs.remove_below(12) == 1
    assert proofs.floor == 4
    assert Portion(5) not in proofs


@pytest.mark.parametrize("name", ["sss/frames/20261126T060000Z.1.jsonl", "sss/seen/20261126T060000Z.seen"])
def test_nothing_is_removed_above_a_frame_with_a_supplement_that_waits_or_may_come(tmp_path: Path, name: str) -> None:
    """Below the floor every portion counts as done: the supplement would never be pushed."""
    space = made(tmp_path)
    proofs = fresh(space)
    for frame in range(12):
        proofs.add(Portion(frame), done(Portion(frame)))
    proofs.compact(BASE + 3 * DAY_SECONDS)
    (tmp_path / name).touch()
    assert proofs.remove_below(12) == 1
    assert Portion(5, 1) not in proofs


def test_a_floor_of_another_base_is_refused(tmp_path: Path) -> None:
    space = made(tmp_path)
    (space.rss / "floor.json").write_text('{"below": "20261125T000001Z"}')
    with pytest.raises(ValueError, match="which is no frame of this base"):
        read_floor(space)


def test_a_folder_that_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    space = made(tmp_path)
    proofs = Proofs(space)
    assert proofs.refresh()
    space.done.file(Portion(0)).write_text("{}")
    assert proofs.refresh(), "what changed just now may change again within the same step of the clock"
    assert set(proofs.frames) == {0}


def test_a_frame_and_its_supplements_have_one_digest() -> None:
    parts = [done(Portion(0, part), part + 1) for part in range(3)]
    assert combined(parts) == Digest(6, 6)


def test_members_that_later_versions_add_or_leave_out_have_defaults(tmp_path: Path) -> None:
    space = made(tmp_path)
    space.done.file(Portion(0)).write_text('{"frame": "2026-11-25T00:00:00Z", "count": 2, "digest": "0a"}')
    assert fresh(space).between(0, 1) == {0: [Done("2026-11-25T00:00:00Z", 2, "0a")]}
