"""Alerts and backfills over the API of a node."""

from typing import Any

import pytest

from tests.batch.test_api import Platform, platform
from tests.kit.batch import told
from tests.kit.databases import until

__all__ = ["platform"]
DAY = "from=2026-03-28T00:00&to=2026-03-30T00:00"


async def alerts_of(platform: Platform, task: str, more: str = "") -> list[dict[str, Any]]:
    found = (await platform.as_("reader", 1).get(f"/v1/alerts?limit=1000{more}"))["alerts"]
    return [each for each in found if each["task"] == task]


async def test_an_operator_looks_after_an_alert_which_the_work_of_the_run_resolves(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await platform.define(broken={"most_tries": 1})
    good = platform.consumer.says
    monkeypatch.setattr(
        platform.consumer, "says", lambda call: told(call, "FAILED") if call["task"] == "broken" else good(call)
    )
    operator = platform.as_("operator")
    _, triggered = await operator("POST", "/v1/tasks/broken/trigger", {})

    async def raised() -> bool:
        return bool(await alerts_of(platform, "broken"))

    await until(raised, "an alert")
    (alert,) = await alerts_of(platform, "broken")
    assert (alert["kind"], alert["run"], alert["acknowledged_by"]) == ("failed", triggered["run"], None)
    path = f"/v1/alerts/{alert['id']}/acknowledge"
    status, problem = await operator("POST", path, {"note": ""})
    assert (status, problem["field"]) == (422, "note")
    mine = {"alert": alert["id"], "acknowledged_by": "token operator"}
    assert await operator("POST", path, {"note": "I call them"}) == (200, mine)
    (alert,) = await alerts_of(platform, "broken")
    assert (alert["acknowledged_by"], alert["note"], alert["resolved_at"]) == ("token operator", "I call them", None)
    audit = (await platform.as_("reader").get(f"/v1/audit?subject=alert%20{alert['id']}"))["audit"]
    assert [(line["who"], line["what"], line["reason"]) for line in audit] == [
        ("token operator", "acknowledged", "I call them")
    ]
    monkeypatch.setattr(platform.consumer, "says", told)
    assert (await operator("POST", f"/v1/runs/{triggered['run']}/rerun", {"reason": "mended"}))[0] == 200

    async def resolved() -> bool:
        return not await alerts_of(platform, "broken")

    await until(resolved, "the alert to be resolved")
    (alert,) = await alerts_of(platform, "broken", "&all=true")
    assert alert["resolved_at"]
    status, problem = await operator("POST", path, {"note": "late"})
    assert (status, problem["type"]) == (409, "urn:snk:problem:wrong-state")
    assert (await operator("POST", "/v1/alerts/999999/acknowledge", {"note": "x"}))[0] == 404


async def test_ticks_that_never_triggered_are_shown_and_made_up_for_once(platform: Platform) -> None:
    await platform.define(daily={"cron": "0 2 * * *", "zone": "Europe/Berlin", "overlap": "queue"})
    reader, operator = platform.as_("reader", 1), platform.as_("operator")
    seen = await reader.get(f"/v1/tasks/daily/backfill?{DAY}")
    # On the 29th it is never two o'clock in Berlin: the tick comes when the clocks have gone to three.
    ticks = ["2026-03-28T01:00:00+00:00", "2026-03-29T01:00:00+00:00"]
    assert seen == {"name": "daily", "ticks": ticks, "existing": 0, "runs": []}
    assert (await reader.get("/v1/runs?task=daily"))["runs"] == []
    body = {"from": "2026-03-28T00:00", "to": "2026-03-30T00:00"}
    status, made = await operator("POST", "/v1/tasks/daily/backfill", body)
    assert (status, made["ticks"], len(made["runs"])) == (202, ticks, 2)
    assert (await platform.called("daily"))["run"] == made["runs"][0]
    again = {"name": "daily", "ticks": [], "existing": 2, "runs": []}
    assert await operator("POST", "/v1/tasks/daily/backfill", body) == (202, again)
    assert await reader.get(f"/v1/tasks/daily/backfill?{DAY}") == again
    lines = (await reader.get("/v1/audit?subject=daily"))["audit"]
    assert ("token operator", "backfilled") in [(line["who"], line["what"]) for line in lines]


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("soon", "2026-03-30", "from is 'soon', which is no time; write it as 2026-11-25"),
        ("2026-03-30", "5", "to is '5', which is no time"),
        ("2026-03-30", "2026-03-30", "it has to end later"),
        ("2026-03-30", "2999-03-30", "the range is not over"),
        ("0001-01-01", "2026-03-30", "Give moments of the years 1970 to 2999"),
        ("2026-03-30", "9999-12-31T23:59:59-12:00", "Give moments of the years 1970 to 2999"),
    ],
)
async def test_a_range_without_meaning_is_told_and_starts_nothing(
    platform: Platform, start: str, end: str, words: str
) -> None:
    await platform.define(yearly={"cron": "0 2 1 1 *"}, without={})
    for task, says in (("yearly", words), ("without", "has no calendar")):
        if task == "without" and "is no time" in words:
            continue
        status, problem = await platform.as_("operator")(
            "POST", f"/v1/tasks/{task}/backfill", {"from": start, "to": end}
        )
        assert (status, says in problem["detail"]) == (422, True), problem
    status, problem = await platform.as_("reader")("GET", f"/v1/tasks/yearly/backfill?from={start}&to={end}")
    assert (status, words in problem["detail"]) == (422, True), problem
    assert (await platform.as_("reader").get("/v1/runs?task=yearly"))["runs"] == []
