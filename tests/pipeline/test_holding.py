"""What is held follows from the files, and is kept as long as somebody needs it."""

from pathlib import Path

import pytest

from snk.pipeline.frame import Portion
from snk.pipeline.framefile import Line, Making, lines
from snk.pipeline.holding import Holding
from snk.pipeline.mapping import dumps
from snk.pipeline.proof import Done, Proofs
from snk.pipeline.space import Space
from tests.kit.disk import Disk
from tests.kit.pipeline import GRID


def loaded(space: Space) -> Holding:
    holding = Holding(space, Proofs(space))
    holding.load()
    holding.mend()
    return holding


def pulled(space: Space, holding: Holding, frame: int, *uids: str, final: bool = False) -> int:
    portion = Portion(frame, holding.next_part(frame))
    making = Making(space.frames.file(portion))
    for uid in uids:
        making.add(uid, {"uid": uid}, dumps({"uid": uid}))
    settled = making.gathered.settle(holding.before(frame))
    return holding.store(portion, making, settled, 40.0, final=final)


def pushed(space: Space, *portions: Portion) -> None:
    proofs = Proofs(space)
    for portion in portions:
        proofs.add(portion, Done(GRID.iso(portion.frame), 0, "0" * 32, portion.part))


def uids(space: Space, portion: Portion) -> list[str]:
    return [line.uid for line in lines(space.frames.file(portion)) if isinstance(line, Line)]


def test_new_uids_become_a_supplement_and_only_they(space: Space) -> None:
    holding = loaded(space)
    assert pulled(space, holding, 0, "a", "b") == 2
    assert pulled(space, holding, 0, "b", "c", "a") == 1
    assert uids(space, Portion(0, 1)) == ["c"]
    assert pulled(space, holding, 0, "a", "b", "c") == 0
    assert set(space.frames.portions()) == {Portion(0), Portion(0, 1)}


def test_a_record_that_a_neighbour_has_is_not_new(space: Space) -> None:
    holding = loaded(space)
    pulled(space, holding, 1, "a", "b")
    assert pulled(space, holding, 2, "b", "c") == 1
    assert pulled(space, holding, 0, "a", "d") == 1
    assert pulled(space, holding, 3, "a") == 1, "two frames away it is another record"


def test_a_frame_without_records_is_held_too(space: Space) -> None:
    holding = loaded(space)
    pulled(space, holding, 0)
    assert 0 in loaded(space).pulled
    assert uids(space, Portion(0)) == []


def test_a_new_start_knows_what_the_last_one_knew(space: Space) -> None:
    holding = loaded(space)
    pulled(space, holding, 0, "a")
    pulled(space, holding, 0, "a", "b")
    pulled(space, holding, 1, "c", final=True)
    again = loaded(space)
    assert again.kept[0] == holding.kept[0]
    assert again.kept[1].final
    assert again.pulled == holding.pulled
    assert again.next_part(0) == 2
    assert again.next_part(5) == 0


def test_uids_that_were_not_kept_before_a_crash_are_taken_from_the_file(space: Space) -> None:
    holding = loaded(space)
    pulled(space, holding, 0, "a")
    pulled(space, holding, 0, "a", "b")
    space.seen.file(Portion(0)).unlink()
    again = loaded(space)
    assert (again.kept[0].parts, again.kept[0].records) == (2, 2)
    assert pulled(space, again, 0, "a", "b") == 0


def test_a_file_is_removed_only_when_its_proof_is_there(space: Space) -> None:
    holding = loaded(space)
    pulled(space, holding, 0, "a")
    pulled(space, holding, 1, "b")
    assert holding.release() == 0
    pushed(space, Portion(1))
    holding.refresh()
    assert holding.release() == 1
    assert set(space.frames.portions()) == {Portion(0)}
    assert 1 in holding.pulled


def test_uids_are_kept_until_both_neighbours_are_looked_at_for_the_last_time(space: Space) -> None:
    holding = loaded(space)
    for frame in range(3):
        pulled(space, holding, frame, f"u{frame}")
    pushed(space, *(Portion(frame) for frame in range(3)))
    holding.refresh()
    for frame, left in ((1, {0, 1, 2}), (0, {1, 2}), (2, {2})):
        pulled(space, holding, frame, f"u{frame}", final=True)
        holding.release()
        assert set(holding.kept) == left
    assert set(space.final.portions()) == {Portion(2)}


def test_uids_without_frame_and_proof_are_of_no_use(space: Space) -> None:
    holding = loaded(space)
    pulled(space, holding, 0, "a")
    space.frames.file(Portion(0)).unlink()
    again = loaded(space)
    assert (again.kept, again.next_part(0)) == ({}, 0)
    assert pulled(space, again, 0, "a") == 1


def test_a_damaged_frame_is_pulled_again(space: Space) -> None:
    holding = loaded(space)
    pulled(space, holding, 0, "a", "b")
    space.seen.file(Portion(0)).unlink()
    file = space.frames.file(Portion(0))
    file.write_bytes(file.read_bytes()[:20])
    assert 0 not in loaded(space).pulled


def test_what_is_not_finished_is_removed(space: Space) -> None:
    for folder in (space.frames, space.seen):
        (folder.path / ".20261125T000000Z.jsonl").write_bytes(b"half")
    loaded(space)
    assert not list(space.frames.path.iterdir())
    assert not list(space.seen.path.iterdir())


def test_a_frame_whose_name_could_not_be_forced_to_disk_is_held_all_the_same(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Push sees it, and it would never be removed, nor looked at again."""
    holding = loaded(space)
    with monkeypatch.context() as patch:
        patch.setattr("snk.pipeline.framefile.sync_folder", _full)
        with pytest.raises(OSError, match="full"):
            pulled(space, holding, 0, "a")
    holding.mend()
    pushed(space, Portion(0))
    holding.refresh()
    assert holding.release() == 1
    assert pulled(space, holding, 0, "a", "b") == 1


def _full(_: Path) -> None:
    raise OSError("full")


def test_a_proof_is_forced_to_disk_before_its_frame_is_removed(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """Push may have given it its name a moment ago; a crash of the machine would leave neither proof nor frame."""
    holding = loaded(space)
    pulled(space, holding, 0, "a")
    pushed(space, Portion(0))
    holding.refresh()
    disk = Disk(monkeypatch)
    assert holding.release() == 1
    assert disk.forced[0] == "done"


def test_uids_are_forced_to_disk_before_their_frame_is_removed_and_only_once(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding, disk = loaded(space), Disk(monkeypatch)
    pulled(space, holding, 0, "a")
    name = space.seen.file(Portion(0)).name
    assert name not in disk.forced, "until then they can be taken from the frame"
    pushed(space, Portion(0))
    holding.refresh()
    assert holding.release() == 1
    assert disk.forced.index(name) < disk.forced.index("seen")
    pulled(space, holding, 0, "a", "b")
    pushed(space, Portion(0, 1))
    holding.refresh()
    before = disk.forced.count(name)
    assert holding.release() == 1
    assert disk.forced.count(name) == before + 1


@pytest.mark.parametrize("at", [0, 10, 100, -30, -1])
def test_uids_that_a_crash_has_torn_are_taken_from_their_frame(space: Space, at: int) -> None:
    holding = loaded(space)
    pulled(space, holding, 0, "a", "b")
    file = space.seen.file(Portion(0))
    torn = bytearray(file.read_bytes())
    torn[at] ^= 0xFF
    file.write_bytes(torn)
    again = loaded(space)
    assert pulled(space, again, 0, "a", "b", "c") == 1


def test_a_final_frame_whose_uids_a_crash_has_torn_stays_final(space: Space) -> None:
    """Its neighbours' uids may be gone by then, so at another look it would take their records for new ones."""
    holding = loaded(space)
    pulled(space, holding, 0, "a", final=True)
    space.final.file(Portion(0)).write_bytes(b"torn")
    again = loaded(space)
    assert again.kept[0].final
    assert loaded(space).kept[0].final
    space.frames.file(Portion(0)).unlink()
    pushed(space, Portion(0))
    space.final.file(Portion(0)).write_bytes(b"torn")
    assert 0 not in loaded(space).kept
    assert not list(space.seen.path.iterdir())


@pytest.mark.parametrize("old", [b"torn", None])
def test_newer_uids_of_a_final_frame_get_its_name_after_a_crash(space: Space, old: bytes | None) -> None:
    holding = loaded(space)
    pulled(space, holding, 0, "a")
    pulled(space, holding, 0, "a", "b")
    newer = space.seen.file(Portion(0)).read_bytes()
    pulled(space, holding, 0, "a", "b", final=True)
    final = space.final.file(Portion(0))
    final.write_bytes(old or final.read_bytes())
    space.seen.file(Portion(0)).write_bytes(newer)
    again = loaded(space)
    assert (again.kept[0].final, again.kept[0].records) == (True, 2)
    assert final.read_bytes() == newer
    assert not space.seen.portions()


def test_a_frame_that_is_held_is_never_pulled_as_a_new_one(space: Space) -> None:
    """A pull as a new frame would find its own records known, and store an empty frame over them."""
    holding = loaded(space)
    pulled(space, holding, 0, "a", "b")
    holding.pulled = holding.pulled.without([0])
    assert holding.next_part(0) == 1
