"""Every minute from the base to now arrives whole, once, with a proof."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from snk.core.canonical import Digest
from snk.pipeline.frame import Grid, Portion
from snk.pipeline.proof import Done, Proofs
from snk.pipeline.space import Space
from tests.kit.pipeline import Pair, iso, record


async def test_every_frame_is_pulled_pushed_and_proven(pair: Pair) -> None:
    pair.sender.records = [
        record(f"{minute}-{number}", pair.base + timedelta(minutes=minute, seconds=number))
        for minute in range(10)
        for number in range(0, 60, 20)
    ]
    pair.configure()
    pair.start("pull")
    pair.start("push")
    await pair.all_arrived(10)
    assert set(pair.receiver.stored) == {each["uid"] for each in pair.sender.records}
    assert not pair.receiver.twice
    for minute in range(10):
        start = pair.base + timedelta(minutes=minute)
        expected = pair.sender.between(iso(start), iso(start + timedelta(minutes=1)))
        done = pair.done()[iso(start).replace("-", "").replace(":", "")]
        assert (done["frame"], done["count"], done["digest"]) == (iso(start), 3, Digest.of(expected).hex)


def test_a_proof_that_is_added_while_the_folder_is_looked_at_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Push adds proofs in threads; it kept the UID file of a frame that it did not take for done."""
    space = Space(tmp_path, Grid(0))
    space.make(space.rss)
    proofs, really = Proofs(space), space.done.portions
    adding = threading.Thread(target=proofs.add, args=(Portion(7), Done(space.grid.iso(7), 0, "0")))

    def portions() -> set[Portion]:
        found = really()
        adding.start()
        adding.join(0.3)  # it may have to wait for the look
        return found

    monkeypatch.setattr(space.done, "portions", portions)
    proofs.refresh()
    adding.join()
    assert Portion(7) in proofs
