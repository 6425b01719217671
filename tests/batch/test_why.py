"""Why a task does not run: each cause is named, by a node's API where a consumer has a part in it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from snk.batch.platform.why import Facts, LiveRun, reasons
from tests.batch.test_api import Platform, platform
from tests.kit.batch import told
from tests.kit.databases import until

__all__ = ["platform"]
NOW = datetime(2026, 11, 25, 2, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)
RUN = LiveRun(
    id=7,
    state="RUNNING",
    active=True,
    blocked_by=None,
    parent=None,
    waits_for=None,
    node=None,
    due_at=LATER,
    tries=0,
    consumer="http://one/",
    last="RUNNING",
)
FACTS = Facts("prices", NOW, None, "", "prices.ready", LATER, 1, RUN, None)
STARTS = "its calendar, at 2026-11-25T02:00:30+00:00, or the message 'prices.ready', or `snk batch trigger prices`"
QUEUED = replace(RUN, state="WAITING", active=False)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (FACTS, ["run 7 waits for its interval; the next call follows in 30.0 s"]),
        (replace(FACTS, run=replace(RUN, node="a")), []),
        (replace(FACTS, run=replace(RUN, due_at=NOW)), []),
        (
            replace(FACTS, nodes=0, run=replace(RUN, due_at=NOW)),
            ["no node is alive; start one with `snk batch platform`"],
        ),
        (
            replace(FACTS, paused_by="kim", paused_note="month end", run=replace(RUN, due_at=NOW)),
            ["kim has paused it: month end; `snk batch resume prices` takes that back"],
        ),
        (replace(FACTS, run=replace(QUEUED, blocked_by=5)), ["run 7 is queued behind run 5"]),
        (
            replace(FACTS, run=replace(QUEUED, parent=4, waits_for=(6, "FAILED"))),
            ["run 7 belongs to run 4 of a group, where run 6 comes first, which is FAILED"],
        ),
        (replace(FACTS, run=QUEUED), ["it is the turn of run 7, which the next look of a node will find"]),
        (
            replace(FACTS, run=replace(RUN, tries=3, last="no connection")),
            ["run 7: 3 calls in a row failed (http://one/: no connection); the next one follows in 30.0 s"],
        ),
        (
            replace(FACTS, run=replace(RUN, waiting=[("trades", "the day is not over")])),
            [
                "run 7 waits for its interval; the next call follows in 30.0 s",
                "run 7: its consumer has not begun file 'trades': the day is not over",
            ],
        ),
        (
            replace(FACTS, run=None, ended=(3, "FAILED", "no")),
            [
                "its last run 3 is FAILED: no; `snk batch rerun 3` runs what failed again",
                f"nothing has triggered it; it is started by {STARTS}",
            ],
        ),
    ],
)
def test_each_cause_is_one_sentence(facts: Facts, expected: list[str]) -> None:
    assert list(reasons(facts)) == expected


async def why(platform: Platform, task: str) -> str:
    return "\n".join((await platform.as_("reader").get(f"/v1/tasks/{task}/why"))["reasons"])


async def test_a_consumer_that_cannot_be_reached_is_named(platform: Platform) -> None:
    nobody = "http://127.0.0.1:9/v1/tasks/any"
    await platform.define(lonely={"consumers": [nobody], "retry_first_ms": 30_000, "most_tries": 9})
    await platform.as_("operator")("POST", "/v1/tasks/lonely/trigger", {})

    async def named() -> bool:
        return f"1 call in a row failed ({nobody}: " in await why(platform, "lonely")

    await until(named, "the consumer to be named")


async def test_a_file_whose_precondition_is_not_met_is_named_until_it_has_begun(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await platform.define(early={"files": {"trades": {}, "rates": {}}})
    waits = {"state": "WAITING", "reason": "the day is not over"}

    def says(call: dict[str, Any]) -> dict[str, Any]:
        return told(call, "RUNNING", trades=waits, rates={"state": "RUNNING", "reason": "a page is late"})

    monkeypatch.setattr(platform.consumer, "says", says)
    call = await platform.running("early")
    words = f"run {call['run']}: its consumer has not begun file 'trades': the day is not over"
    found = await why(platform, "early")
    assert words in found
    assert "rates" not in found
    report = told(call, "RUNNING", trades={"state": "RUNNING"})
    assert (await platform.as_("reporter")("POST", f"/v1/runs/{call['run']}/callback", report))[0] == 200
    assert words not in await why(platform, "early")
