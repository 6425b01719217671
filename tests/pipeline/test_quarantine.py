"""What a person does about frames that are set aside."""

import json
from pathlib import Path

import pytest

from snk.pipeline.frame import Grid, Portion
from snk.pipeline.framefile import End, Making
from snk.pipeline.quarantine import Quarantine
from snk.pipeline.space import Space
from tests.kit.pipeline import Pair, Receiver, Sender, iso, minutes_ago

UIDS = ("a", "b", "c")
REASON = "the receiving server answers 422: no such customer"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A pipeline that does not run, with one frame that was refused because of its second record."""
    made = Pair(tmp_path, minutes_ago(10), Sender(port=1), Receiver(port=1))
    made.configure()
    space = Space(made.space, Grid(int(made.base.timestamp())))
    space.make(space.sss)
    space.make(space.rss)
    making = Making(space.frames.file(Portion(0)))
    for uid in UIDS:
        making.add(uid, {"uid": uid}, json.dumps({"uid": uid}).encode())
    making.finish(End(iso(made.base), 0, making.digest.count, making.digest.hex, 40.0))
    space.uids.file(Portion(0)).write_text('"a"\n')
    Quarantine(space.refused).add(Portion(0), iso(made.base), REASON, "b")
    return made


@pytest.mark.long
def test_what_is_set_aside_is_listed_and_shown(pair: Pair) -> None:
    frame = iso(pair.base)
    assert f"{frame}  " in (listed := pair.run("quarantine", "list", code=1))
    assert REASON in listed
    (told,) = json.loads(pair.run("quarantine", "list", "--json", code=1))
    assert (told["frame"], told["reason"], told["uid"]) == (frame, REASON, "b")
    shown = pair.run("quarantine", "show", frame, code=0)
    assert REASON in shown
    assert "uid of the record: b" in shown
    assert '1: {"uid": "b"}' in shown
    (told,) = json.loads(pair.run("quarantine", "show", "--all", "--json", code=0))
    assert told["records"] == {str(number): json.dumps({"uid": uid}) for number, uid in enumerate(UIDS)}


@pytest.mark.long
def test_what_is_tried_again_is_set_aside_no_more(pair: Pair) -> None:
    assert "is not in quarantine" in pair.run("quarantine", "retry", "2020-01-01T00:00:00Z", code=2)
    assert "Name some" in pair.run("quarantine", "retry", code=2)
    assert "1 frame will be tried again" in pair.run("quarantine", "retry", iso(pair.base), code=0)
    assert pair.run("quarantine", "list", code=0) == ""


@pytest.mark.long
def test_a_frame_is_given_up_only_when_that_is_confirmed_and_its_proof_says_so(pair: Pair) -> None:
    asked = "Give up 1 frame? D shows the details. [Y/N/D]: \nnot changed: nobody answered; --yes answers\n"
    assert pair.run("quarantine", "drop", "--all", code=1) == asked
    assert not pair.done()
    assert "1 frame given up" in pair.run("quarantine", "drop", "--all", "--yes", code=0)
    (done,) = pair.done().values()
    assert (done["dropped"], done["count"]) == (REASON, 1)
    assert pair.run("quarantine", "list", code=0) == ""
