"""New records are told from those that were there before, as a dict would tell them."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snk.pipeline.seen import Damaged, Gathered, Seen, Settled

Pull = list[tuple[str, int]]
uids = st.sampled_from([f"uid-{number}" for number in range(40)]) | st.text(max_size=8)
# The first 64 bits of a digest tell contents apart.
digests = st.sampled_from([0, 1 << 64, 2 << 64, 2**128 - 1])
pulls = st.lists(st.tuples(uids, digests), max_size=30)


def gathered(pull: Pull) -> Gathered:
    made = Gathered()
    for uid, digest in pull:
        made.add(uid, digest)
    return made


def expected(pull: Pull, before: dict[str, int]) -> Settled:
    settled, here = Settled(bytearray(len(pull))), dict[str, int]()
    twice = set()
    for line, (uid, digest) in enumerate(pull):
        if uid in before:
            settled.doubled += digest == before[uid]
            settled.changed += digest != before[uid]
        elif uid in here:
            settled.doubled += digest == here[uid]
            if digest != here[uid]:
                twice.add(line)
        else:
            here[uid] = digest
            settled.keep[line] = 1
            settled.new += 1
    settled.twice = min(twice, default=None)
    return settled


@settings(max_examples=40)
@given(st.lists(pulls, min_size=1, max_size=4), pulls)
def test_pulls_one_after_the_other_are_settled_as_by_a_dict(history: list[Pull], beside: Pull) -> None:
    with tempfile.TemporaryDirectory() as folder:
        neighbour, own = Path(folder, "neighbour"), Path(folder, "own")
        first = gathered(beside)
        first.write(neighbour, 1, first.settle([]).keep, None)
        others: dict[str, int] = {}
        for uid, digest in beside:
            others.setdefault(uid, digest)
        known: dict[str, int] = {}
        for part, pull in enumerate(history):
            seen = Seen(own) if own.exists() else None
            made = gathered(pull)
            settled = made.settle([*([seen] if seen else []), Seen(neighbour)])
            wanted = expected(pull, {**others, **known})
            assert (settled.keep, settled.new) == (wanted.keep, wanted.new)
            assert (settled.doubled, settled.changed) == (wanted.doubled, wanted.changed)
            assert (settled.twice is None) == (wanted.twice is None)
            known.update((uid, digest) for (uid, digest), keep in zip(pull, settled.keep, strict=True) if keep)
            made.write(own, part + 1, settled.keep, seen)
            assert (len(Seen(own)), Seen(own).parts) == (len(known), part + 1)


@settings(max_examples=40)
@given(pulls)
def test_what_was_written_is_known_and_nothing_else(pull: Pull) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = gathered(pull)
        made.write(Path(folder, "own"), 1, made.settle([]).keep, None)
        again = gathered(pull).settle([Seen(Path(folder, "own"))])
        assert again.new == 0
        assert gathered([("never seen before", 1)]).settle([Seen(Path(folder, "own"))]).new == 1


def test_of_the_same_uid_in_one_pull_with_other_content_the_line_is_told() -> None:
    settled = gathered([("a", 1 << 64), ("b", 1), ("a", 2 << 64)]).settle([])
    assert (settled.twice, settled.new) == (2, 2)


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-1], lambda text: text[:100], lambda text: text[:0], lambda text: b"X" + text[1:]]
)
def test_a_damaged_file_is_found(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    file, made = tmp_path / "own", gathered([("a", 1), ("b", 2)])
    made.write(file, 1, bytearray(b"\1\1"), None)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(Damaged, match="own"):
        Seen(file)


def test_no_file_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Seen(tmp_path / "none")
