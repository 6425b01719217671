"""Consumers report without being called: each report counts once, for the call that it belongs to, or not at all."""

from itertools import count
from typing import Any
from uuid import uuid4

import pytest

from tests.batch.test_api import Platform, platform
from tests.kit.batch import told
from tests.kit.databases import until

__all__ = ["platform"]
numbers = count()
FILES: dict[str, Any] = {"one": {"state": "COMPLETED"}, "two": {"state": "COMPLETED"}}


async def report(platform: Platform, run: int, told: Any, client: str = "reporter") -> tuple[int, Any]:
    return await platform.as_(client, 1)("POST", f"/v1/runs/{run}/callback", told)


@pytest.fixture
async def call(platform: Platform) -> dict[str, Any]:
    """The call of a run of a task of its own with two files."""
    name = f"task{next(numbers)}"
    await platform.define(**{name: {"files": {"one": {}, "two": {}}}})
    return await platform.running(name)


async def test_a_callback_completes_a_run_and_the_same_one_again_changes_nothing(
    platform: Platform, call: dict[str, Any]
) -> None:
    path = f"/v1/runs/{call['run']}/callback?uid={call['uid']}"
    assert call["callback"] in {f"{url}{path}" for url in platform.urls}
    half = told(call, "RUNNING", one={"state": "RUNNING", "received": 5})
    assert await report(platform, call["run"], half) == (200, {"outcome": "taken"})
    assert (await platform.run(call["run"]))["files"][0]["received"] == 5
    whole = told(call, one={"state": "COMPLETED", "expected": 7, "applied": 6, "rejected": 1}, two=FILES["two"])
    assert await report(platform, call["run"], whole) == (200, {"outcome": "taken"})
    run = await platform.run(call["run"])
    assert (run["state"], run["active"], run["files"][0]["applied"]) == ("COMPLETED", False, 6)
    assert (run["audit"][-1]["who"], run["audit"][-1]["what"]) == ("token reporter", "completed")
    assert await report(platform, call["run"], whole) == (200, {"outcome": "again"})
    assert await report(platform, call["run"], half) == (200, {"outcome": "void"})
    assert await platform.run(call["run"]) == run


async def test_a_callback_from_before_a_rerun_is_void(platform: Platform, call: dict[str, Any]) -> None:
    run, task = call["run"], call["task"]
    failed = told(call, "FAILED", one=FILES["one"], two={"state": "FAILED", "reason": "gone"})
    assert await report(platform, run, failed) == (200, {"outcome": "taken"})
    status, _ = await platform.as_("operator")("POST", f"/v1/runs/{run}/rerun", {"reason": "it is mended"})
    assert status == 200
    again = await platform.called(task, 2)
    assert (list(again["files"]), again["since"]) == (["two"], call["fence"] + 1)
    before = await platform.run(run)
    assert await report(platform, run, told(call, **FILES)) == (200, {"outcome": "void"})
    assert (await platform.run(run))["files"] == before["files"]
    assert await report(platform, run, told(again, two=FILES["two"])) == (200, {"outcome": "taken"})
    done = await platform.run(run)
    assert (done["state"], {each["state"] for each in done["files"]}) == ("COMPLETED", {"COMPLETED"})


async def test_a_forged_callback_changes_nothing(platform: Platform, call: dict[str, Any]) -> None:
    run = call["run"]
    before = await platform.run(run)
    ahead = told({"fence": call["fence"] + 1}, **FILES)
    status, problem = await report(platform, run, ahead)
    assert (status, problem["type"]) == (409, "urn:snk:problem:fence-ahead")
    assert f"with the fence {call['fence'] + 1}" in problem["detail"]
    assert await report(platform, run, told({"fence": 0}, **FILES)) == (200, {"outcome": "void"})
    status, problem = await report(platform, run, told(call, **FILES), client="mine")
    assert (status, problem["detail"]) == (404, f"there is no run {run}"), "it does not learn of which task it is"
    for client in ("reader", "upstream", "operator", ""):
        assert (await report(platform, run, told(call, **FILES), client=client))[0] == (403 if client else 401)
    assert await report(platform, 999_999, told(call)) == (
        404,
        {
            "type": "urn:snk:problem:not-found",
            "title": "Not Found",
            "status": 404,
            "detail": "there is no run 999999",
        },
    )
    wrong: list[Any] = [{}, [], {"fence": 1, "state": "CANCELLED"}, {"fence": -1, "state": "RUNNING"}, {"fence": 2**63}]
    for bad in wrong:
        assert (await report(platform, run, bad))[0] == 422
    assert await platform.run(run) == before


async def test_a_callback_for_a_run_of_another_platform_with_the_same_number_changes_nothing(
    platform: Platform, call: dict[str, Any]
) -> None:
    """Such as this one before its database was made anew: consumers still send reports of that time."""
    path, whole = f"/v1/runs/{call['run']}/callback", told(call, **FILES)
    client = platform.as_("reporter", 1)
    before = await platform.run(call["run"])
    status, problem = await client("POST", f"{path}?uid={uuid4()}", whole)
    assert (status, problem["type"]) == (404, "urn:snk:problem:not-found")
    assert await platform.run(call["run"]) == before
    assert (await client("POST", f"{path}?uid=17", whole))[0] == 422
    assert await client("POST", f"{path}?uid={call['uid']}", whole) == (200, {"outcome": "taken"})


async def test_a_consumer_with_the_scope_of_its_task_reports_for_it(platform: Platform) -> None:
    await platform.define(mine={})
    call = await platform.running("mine")
    assert await report(platform, call["run"], told(call), client="mine") == (200, {"outcome": "taken"})


async def test_the_run_of_a_group_takes_no_report(platform: Platform) -> None:
    await platform.define(part={}, group={"tasks": ["part"]})
    _, triggered = await platform.as_("operator")("POST", "/v1/tasks/group/trigger", {})
    await platform.called("part")
    assert await report(platform, triggered["run"], {"fence": 0, "state": "COMPLETED"}) == (200, {"outcome": "void"})
    assert (await report(platform, triggered["run"], {"fence": 1, "state": "COMPLETED"}))[0] == 409


@pytest.mark.parametrize(
    ("files", "state", "reason"),
    [
        ({"one": FILES["one"]}, "RECON_FAILED", "file two is RECON_FAILED: the report says nothing of it"),
        ({**FILES, "two": {"state": "FAILED", "reason": "gone"}}, "FAILED", "file two is FAILED: gone"),
        (
            {**FILES, "one": {"state": "COMPLETED", "expected": 9, "applied": 5, "rejected": 2}},
            "RECON_FAILED",
            "file one is RECON_FAILED: 9 records were expected, and 5 were applied and 2 rejected",
        ),
    ],
)
async def test_a_report_whose_files_say_otherwise_completes_no_run(
    platform: Platform, call: dict[str, Any], files: dict[str, Any], state: str, reason: str
) -> None:
    said = told(call, **files)
    assert await report(platform, call["run"], said) == (200, {"outcome": "taken"})
    run = await platform.run(call["run"])
    assert (run["state"], run["reason"]) == (state, reason)
    assert await report(platform, call["run"], said) == (200, {"outcome": "again"})
    assert len(run["files"]) == 2


async def test_the_answer_to_a_call_is_judged_as_a_callback_is(platform: Platform) -> None:
    await platform.define(answered={"files": {"one": {}}})
    platform.consumer.says = lambda call: told(call, "COMPLETED" if call["task"] == "answered" else "RUNNING")
    _, triggered = await platform.as_("operator")("POST", "/v1/tasks/answered/trigger", {})

    async def ended() -> bool:
        return bool((await platform.run(triggered["run"]))["ended_at"])

    await until(ended, "the run to end")
    run = await platform.run(triggered["run"])
    assert (run["state"], run["files"][0]["state"]) == ("RECON_FAILED", "RECON_FAILED")


async def test_the_next_run_of_a_task_starts_at_once_when_a_callback_ends_the_one_before(platform: Platform) -> None:
    await platform.define(next={})
    call = await platform.running("next")
    await platform.as_("operator")("POST", "/v1/tasks/next/trigger", {})
    assert await report(platform, call["run"], told(call)) == (200, {"outcome": "taken"})
    assert (await platform.called("next", 2))["run"] != call["run"]
