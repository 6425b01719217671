"""What the timeline of a run shows, and what it leaves out."""

from datetime import UTC, datetime
from typing import Any

from snk.batch.platform.portal.drawing import durations, not_drawn, run_timeline

NOW = datetime(2026, 11, 25, 9, 0, 20, tzinfo=UTC)


def at(second: int) -> str:
    return f"2026-11-25T09:00:{second:02}+00:00"


def run(**given: Any) -> dict[str, Any]:
    times = {"created_at": at(0), "started_at": at(10), "ended_at": None}
    lists: dict[str, Any] = {"attempts": [], "files": [], "tasks": []}
    return {"id": 1, "task": "prices", "state": "RUNNING", "calls": 0, **times, **lists, **given}


def call(fence: int, consumer: str, outcome: str = "RUNNING") -> dict[str, Any]:
    times = {"began_at": at(fence), "ended_at": at(fence + 1)}
    return {"fence": fence, "consumer": consumer, "node": "a", "outcome": outcome, **times}


def test_a_file_lasts_until_its_consumer_said_that_it_ended() -> None:
    numbers = {"expected": 5, "received": 5, "applied": 5, "rejected": 0, "reported_at": at(15)}
    files = [{"name": "done", "state": "COMPLETED", **numbers}, {"name": "under way", "state": "RUNNING", **numbers}]
    drawn = str(run_timeline(run(files=files), NOW))
    assert "<span>file done</span>" in drawn
    assert '<rect class="bar good" x="500.0" width="250.0"' in drawn
    assert drawn.count('<rect class="bar live" x="500.0" width="500.0"') == 2  # the other file, and the run


def test_a_call_that_failed_stands_out() -> None:
    drawn = str(run_timeline(run(attempts=[call(11, "one"), call(13, "one", "it answers 503: no")]), NOW))
    assert drawn.count("calls of one</span>") == 1
    assert (drawn.count('class="bar live"'), drawn.count('class="bar bad"')) == (2, 1)


def test_what_a_timeline_leaves_out_is_told() -> None:
    assert not_drawn(run(calls=1, attempts=[call(1, "one")])) == []
    many = run(calls=30, attempts=[call(each, f"consumer {each}") for each in range(1, 24)], files=[{}] * 21)
    assert not_drawn(many) == ["3 instances more", "1 file more", "7 earlier calls"]
    assert str(run_timeline({**many, "files": []}, NOW)).count("calls of") == 20 * 2  # a name and a title of each


def test_only_runs_that_ended_have_a_bar() -> None:
    ended = [{"id": 2, "state": "FAILED", "seconds": 4.0}, {"id": 1, "state": "COMPLETED", "seconds": 2.0}]
    drawn = str(durations([{"id": 3, "state": "RUNNING", "seconds": None}, *ended]))
    assert drawn.index("run 1, COMPLETED: 2.0 s") < drawn.index("run 2, FAILED: 4.0 s")
    assert "run 3" not in drawn
    assert not durations([])
