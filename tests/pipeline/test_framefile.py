"""A frame's file is whole or damaged; it never has fewer records without saying so."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snk.core.canonical import Digest
from snk.pipeline.framefile import End, Line, Making, last_line, lines, loads
from snk.pipeline.mapping import dumps
from snk.pipeline.seen import Damaged

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
records = st.lists(st.tuples(texts, jsons), max_size=8)


def written(file: Path, found: list[tuple[str, Any]]) -> End:
    making = Making(file)
    for uid, record in found:
        making.add(uid, record, dumps(record))
    end = End("2026-11-25T00:00:00Z", 0, making.digest.count, making.digest.hex, 1.5)
    making.finish(end)
    return dataclasses.replace(end, check_sum=making.check_sum)


@settings(max_examples=40)
@given(records)
def test_what_is_written_is_read(found: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "frame.jsonl")
        end = written(file, found)
        *read, last = lines(file)
        assert [(line.uid, loads(line.text)) for line in read if isinstance(line, Line)] == found
        assert last == last_line(file) == end
        assert end.digest == Digest.of(record for _, record in found).hex
        assert list(Path(folder).iterdir()) == [file]


@settings(max_examples=30)
@given(records.filter(bool), st.data())
def test_a_record_of_which_a_bit_has_changed_is_found(found: list[tuple[str, Any]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "frame.jsonl")
        written(file, found)
        changed = bytearray(file.read_bytes())
        end = changed.rindex(b"\n{", 0, -1)
        changed[data.draw(st.integers(0, end))] ^= 1 << data.draw(st.integers(0, 7))
        file.write_bytes(changed)
        with pytest.raises(Damaged):
            list(lines(file))


@settings(max_examples=30)
@given(records, st.data())
def test_a_file_that_is_cut_anywhere_is_damaged(found: list[tuple[str, Any]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "frame.jsonl")
        written(file, found)
        whole = file.read_bytes()
        # Without its very last byte, the end of the line, it is still whole.
        for size in {0, len(whole) - 2, *data.draw(st.lists(st.integers(0, len(whole) - 2), max_size=20))}:
            file.write_bytes(whole[:size])
            with pytest.raises(Damaged):
                list(lines(file))
            with pytest.raises(Damaged):
                last_line(file)


@settings(max_examples=40)
@given(records.filter(bool), st.data())
def test_a_file_without_one_of_its_lines_or_with_one_twice_is_damaged(
    found: list[tuple[str, Any]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "frame.jsonl")
        written(file, found)
        whole = file.read_bytes().splitlines(keepends=True)
        if len(whole) != len(found) + 1:
            whole = [line + b"\n" for line in file.read_bytes().split(b"\n")[:-1]]
        at = data.draw(st.integers(0, len(found) - 1))
        for changed in (whole[:at] + whole[at + 1 :], [*whole[: at + 1], *whole[at:]], [*whole, whole[at]]):
            file.write_bytes(b"".join(changed))
            with pytest.raises(Damaged):
                list(lines(file))


@settings(max_examples=40)
@given(st.lists(st.tuples(texts, jsons), min_size=1, max_size=8), st.data())
def test_lines_that_are_not_wanted_are_left_out_and_not_counted(
    found: list[tuple[str, Any]], data: st.DataObject
) -> None:
    keep = data.draw(st.lists(st.booleans(), min_size=len(found), max_size=len(found)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "frame.1.jsonl")
        making = Making(file)
        for uid, record in found:
            making.add(uid, record, dumps(record))
        making.keep(bytearray(keep))
        kept = [each for each, wanted in zip(found, keep, strict=True) if wanted]
        assert making.digest == Digest.of(record for _, record in kept)
        making.finish(End("2026-11-25T00:00:00Z", 1, making.digest.count, making.digest.hex, 0.0))
        assert [line.uid for line in lines(file) if isinstance(line, Line)] == [uid for uid, _ in kept]
        assert list(Path(folder).iterdir()) == [file]


def test_a_frame_that_is_discarded_leaves_nothing(tmp_path: Path) -> None:
    making = Making(tmp_path / "frame.jsonl")
    making.add("a", {"uid": "a"}, b'{"uid":"a"}')
    assert not (tmp_path / "frame.jsonl").exists()
    making.discard()
    assert not list(tmp_path.iterdir())


def test_a_frame_that_has_its_name_is_not_discarded(tmp_path: Path) -> None:
    making = Making(tmp_path / "frame.jsonl")
    making.finish(End("2026-11-25T00:00:00Z", 0, 0, Digest().hex, 0.0))
    making.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["frame.jsonl"]


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "[1e99999999999999999999]", "{", "\ufeff1", "1" * 5000])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - Python's own words
        loads(text)
