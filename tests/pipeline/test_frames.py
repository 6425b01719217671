"""Every minute from the base to now arrives whole, once, with a proof."""

from datetime import timedelta

from snk.core.canonical import Digest
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
    await pair.until(lambda: len(pair.done()) >= 10)
    assert set(pair.receiver.stored) == {each["uid"] for each in pair.sender.records}
    assert not pair.receiver.twice
    for minute in range(10):
        start = pair.base + timedelta(minutes=minute)
        expected = pair.sender.between(iso(start), iso(start + timedelta(minutes=1)))
        done = pair.done()[iso(start).replace("-", "").replace(":", "")]
        assert (done["frame"], done["count"], done["digest"]) == (iso(start), 3, Digest.of(expected).hex)
    await pair.until(lambda: not list((pair.space / "sss/frames").iterdir()))
    assert not list((pair.space / "rss/uids").iterdir())
