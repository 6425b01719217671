"""A UID file knows what was acknowledged, in whatever order, and forgets only what was not whole."""

import json
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snk.pipeline import uids as uidfiles
from snk.pipeline.uids import UidFile
from tests.kit.disk import Disk

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=10)
numbered = st.integers(0, 30).map(str)


def noted(file: Path, acknowledged: list[str]) -> None:
    made = UidFile(file)
    for uid in acknowledged:
        made.add(uid)
        made.save()
    made.force()
    made.close()


@settings(max_examples=40)
@given(st.lists(st.lists(texts | numbered, max_size=10), min_size=1, max_size=3), st.lists(texts | numbered))
def test_a_file_has_what_earlier_runs_noted_as_often_as_they_did(runs: list[list[str]], asked: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "frame.uids")
        for run in runs:
            noted(file, run)
        left = Counter(uid for run in runs for uid in run)
        made = UidFile(file)
        for uid in asked:
            assert made.has(uid) == (left[uid] > 0)
            left[uid] -= left[uid] > 0
        made.close()


@given(st.lists(numbered, unique=True, min_size=1), st.integers(1, 200))
def test_a_tail_that_is_not_whole_is_cut_off(uids: list[str], torn: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "frame.uids")
        noted(file, uids)
        whole = file.read_bytes()
        file.write_bytes(whole[: max(0, len(whole) - torn)])
        left = [json.loads(line) for line in file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        made = UidFile(file)
        made.add("new")
        made.save()
        made.close()
        again = UidFile(file)
        assert [uid for uid in [*uids, "new"] if again.has(uid)] == [*left, "new"]
        again.close()


@pytest.mark.parametrize("hole", [b"\0" * 30, b'\0\0\0b"\n', b'"half\n', b"\xff\xfe\n"])
def test_what_a_crash_left_before_whole_lines_is_passed_over(tmp_path: Path, hole: bytes) -> None:
    file = tmp_path / "frame.uids"
    file.write_bytes(b'"a"\n' + hole + b'"lost"\n"c"\n')
    made = UidFile(file)
    assert [uid for uid in ("a", "b", "c") if made.has(uid)] == ["a", "c"]
    made.close()
    counted = UidFile(file)
    assert counted.count() in (2, 3)
    counted.close()


def test_a_file_that_did_not_exist_has_nothing(tmp_path: Path) -> None:
    made = UidFile(tmp_path / "frame.uids")
    assert not made.has("a")
    made.close()
    made.remove()
    made.remove()
    assert not list(tmp_path.iterdir())


def test_only_so_many_uids_are_held_while_one_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is acknowledged far from its place is sent again, which the receiver recognises; memory stays bounded."""
    monkeypatch.setattr(uidfiles, "MOST_AHEAD", 10)
    noted(tmp_path / "frame.uids", [str(number) for number in range(100)])
    made = UidFile(tmp_path / "frame.uids")
    assert not made.has("99")
    assert len(made._ahead) <= 11
    assert made.has("5")
    made.close()


def test_what_could_not_be_written_is_not_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = UidFile(tmp_path / "frame.uids")
    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", _full)
        for uid in ("a", "b"):
            made.add(uid)
            with pytest.raises(OSError, match="full"):
                made.save()
    made.save()
    assert (tmp_path / "frame.uids").read_bytes() == b'"a"\n"b"\n'
    made.close()


def test_what_is_forced_to_disk_is_not_dirty_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, made = Disk(monkeypatch), UidFile(tmp_path / "frame.uids")
    made.add("a")
    made.add("b")
    assert made.dirty == 0
    made.save()
    assert made.dirty == 2
    made.force()
    assert (made.dirty, disk.forced) == (0, ["frame.uids"])
    made.close()


def _full(*_: object) -> int:
    raise OSError("full")
