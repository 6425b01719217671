"""What commands say of runs and pauses, whatever the nodes do: no node runs here."""

import json
from typing import Any

import pytest

from snk.batch.commands.common import brief, fitted
from tests.kit.batch import World

TASKS = '[task.prices]\nconsumers = ["http://127.0.0.1:9/"]\n[task.rates]\nconsumers = ["http://127.0.0.1:9/"]\n'
RUNS = """
insert into snk_batch.run (task, key, state, reason, overdue, node, payload, created_at, started_at, ended_at) values
('prices', 'k', 'COMPLETED', '', false, null, '{"day": "2026-11-25"}', '2026-11-25 02:00:00Z', '2026-11-25 02:00:01Z',
 '2026-11-25 02:00:13Z'),
('prices', 'calendar 2026-11-26', 'FAILED', 'no such file', true, null, '{}', '2026-11-26 03:00:00+01',
 '2026-11-26 02:00:00Z', '2026-11-26 03:30:00Z'),
('gone', 'calendar 2026-11-26', 'CANCELLED', '', false, null, '{}', '2026-11-26 02:00:00Z', null,
 '2026-11-26 02:05:00Z'),
('rates', '0a0d2c9e-1c9b-4f1e-8c1e-3a1d5b6f7a88', 'WAITING', '', false, 'a', '{}', '2026-11-26 02:00:00Z', null, null)
"""
FILES = """
insert into snk_batch.file (run, name, state, received, rejected, reason) values
(1, 'a', 'COMPLETED', 3000, 2900, ''), (1, 'b', 'COMPLETED', 50, 34, ''), (2, 'a', 'FAILED', null, null, 'why')
"""
CALL = """
insert into snk_batch.attempt (run, fence, node, consumer, outcome, began_at, ended_at)
values (1, 1, 'a', 'http://one/', 'COMPLETED', '2026-11-25 02:00:01Z', '2026-11-25 02:00:02Z')
"""
AUDIT = """
insert into snk_batch.audit (at, who, what, subject) values ('2026-11-25 02:00:13Z', 'one', 'completed', 'run 1')
"""
LISTED = """\
     4  WAITING      rates  2026-11-26T02:00:00Z  called by a
     3  CANCELLED    gone  2026-11-26T02:00:00Z  ended 2026-11-26T02:05:00Z  calendar 2026-11-26
     2  FAILED       prices  2026-11-26T02:00:00Z  in 1 h 30 min  OVERDUE  calendar 2026-11-26
        no such file
     1  COMPLETED    prices  2026-11-25T02:00:00Z  in 12 s  2,934 rejected  {"day": "2026-11-25"}
"""
SHOWN = """\
     1  COMPLETED    prices  2026-11-25T02:00:00Z  in 12 s  2,934 rejected  {"day": "2026-11-25"}
        triggered 2026-11-25T02:00:00Z, began 2026-11-25T02:00:01Z, ended 2026-11-25T02:00:13Z
        key k, payload {"day": "2026-11-25"}
  file  COMPLETED    a  received 3,000, rejected 2,900
  file  COMPLETED    b  received 50, rejected 34
  call  2026-11-25T02:00:02Z  http://one/ by a: COMPLETED
  audit 2026-11-25T02:00:13Z  completed by one
"""


@pytest.fixture
async def filled(world: World) -> World:
    world.define(TASKS)
    await world.database.run(RUNS, FILES, CALL, AUDIT)
    return world


async def test_runs_say_when_they_came_how_long_they_took_and_what_was_rejected(filled: World) -> None:
    assert filled.snk("runs").stdout == LISTED
    assert filled.snk("show", "1").stdout == SHOWN
    (run,) = json.loads(filled.snk("runs", "prices", "--state", "COMPLETED", "--json").stdout)["runs"]
    assert (run["seconds"], run["rejected"], run["payload_begins"]) == (12.0, 2934, '{"day": "2026-11-25"}')
    assert run["created_at"] == "2026-11-25T02:00:00+00:00"


async def test_a_name_that_does_not_exist_is_told_and_one_that_was_removed_has_its_runs(filled: World) -> None:
    for words in (("runs", "nobody"), ("runs", "nobody", "--state", "FAILED"), ("runs", "nobody", "--json")):
        done = filled.snk(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert "there is no task or group 'nobody'" in done.stderr
    assert filled.snk("runs", "gone").stdout.startswith("     3  CANCELLED    gone")
    for name in ("gone", "rates"):
        none = filled.snk("runs", name, "--state", "FAILED")
        assert (none.returncode, none.stdout) == (0, "no runs\n")


async def test_a_run_that_is_run_again_has_not_begun(filled: World) -> None:
    """So how long it takes counts from its new beginning."""
    assert filled.snk("rerun", "2", "--reason", "it is mended").returncode == 0
    assert [run["started_at"] for run in await filled.runs() if run["id"] == 2] == [None]
    assert filled.snk("runs", "prices", "--limit", "1").stdout.splitlines() == [
        "     2  WAITING      prices  2026-11-26T02:00:00Z  calendar 2026-11-26",
        "        it is mended",
    ]


async def test_what_cannot_happen_to_a_run_is_told_with_what_can(filled: World) -> None:
    for words, told in (
        (("cancel", "2"), "a run that is FAILED cannot be cancelled. Possible: rerun, skip"),
        (("skip", "1"), "cannot be skipped. To do the same again, trigger it again, with another key"),
    ):
        done = filled.snk(*words, "--reason", "x")
        assert (done.returncode, told in done.stderr) == (2, True), done.stderr


async def test_a_pause_says_what_it_replaces_and_its_end_whether_there_was_one(filled: World) -> None:
    assert filled.snk("pause", "prices", "--reason", "month end").stdout == "prices is paused\n"
    await filled.database.run("update snk_batch.task set paused_by = 'kim', paused_at = '2026-11-25 02:00:00Z'")
    again = filled.snk("pause", "prices", "--reason", "a bad disk").stdout
    replaced = "this replaces the pause by kim since 2026-11-25T02:00:00Z: month end"
    assert again == f"prices is paused\n{replaced}\n"
    assert filled.snk("resume", "prices").stdout == "prices is resumed\n"
    resumed = "select count(*) from snk_batch.audit where what = 'resumed'"
    assert await filled.database.value(resumed) == 1
    assert filled.snk("resume", "prices").stdout == "prices was not paused\n"
    assert await filled.database.value(resumed) == 1


async def test_an_idle_task_that_did_not_fail_is_well_if_a_node_is_alive(filled: World) -> None:
    node = "insert into snk_batch.node (name, address, seen_at) values ('a', 'http://a', now() + interval '1 hour')"
    await filled.database.run(node, "update snk_batch.run set state = 'COMPLETED', reason = '' where id = 2")
    done = filled.snk("why", "prices")
    told = "the last one, run 2, is COMPLETED since 2026-11-26T03:30:00Z; it is started by `snk batch trigger prices`"
    assert (done.returncode, done.stdout) == (0, f"no run is under way; {told}\n")
    await filled.database.run("update snk_batch.run set state = 'FAILED' where id = 2")
    assert filled.snk("why", "prices").returncode == 1
    assert json.loads(filled.snk("why", "prices", "--json").stdout)["well"] is False


ALERTS = """
insert into snk_batch.alert
 (kind, subject, text, raised_at, acknowledged_by, acknowledged_at, note, resolved_at, resolution) values
('recon_failed', 'run 2', 'run 2 failed', '2026-11-25 02:00:00Z', 'ann', '2026-11-25 02:00:01Z', 'I look', null, ''),
('no_node', 'platform', 'no node', '2026-11-25 02:00:00Z', null, null, '', '2026-11-25 02:10:00Z', 'a node is alive')
"""
ALERTS_LISTED = """\
     2  resolved      no_node       2026-11-25T02:00:00Z  no node
        resolved 2026-11-25T02:10:00Z: a node is alive
     1  acknowledged  recon_failed  2026-11-25T02:00:00Z  run 2 failed
        acknowledged by ann: I look
"""


async def test_alerts_are_listed_in_columns(world: World) -> None:
    await world.database.run(ALERTS)
    assert world.snk("alerts", "list", "--all").stdout == ALERTS_LISTED


UNSET = "env:NOBODY_HAS_SET_THIS"
USERS = [{"user": "kim", "password": UNSET, "scopes": ["*"]}]
SECRETS: dict[str, Any] = {
    "credentials": {"default": {"bearer": UNSET}},
    "alerts": {"webhooks": [{"name": "ops", "url": UNSET, "secret": UNSET}]},
}


async def test_commands_need_no_secret_that_they_do_not_use(filled: World) -> None:
    keys = filled.folder / "keys"
    filled.configure(**SECRETS, auth={"keys": str(keys), "users": USERS})
    tasks = str(filled.folder / "tasks.toml")
    for words in (
        ("init",),
        ("apply", tasks, "--yes"),
        ("export",),
        ("runs",),
        ("show", "1"),
        ("trigger", "rates"),
        ("cancel", "4", "--reason", "x"),
        ("rerun", "2", "--reason", "x"),
        ("pause", "rates", "--reason", "x"),
        ("resume", "rates"),
        ("alerts", "list"),
        ("keys", "rotate"),
        ("keys", "list"),
        ("token", "--scope", "runs:read"),
    ):
        done = filled.snk(*words)
        assert done.returncode == 0, (words, done.stderr)
    assert filled.snk("why", "rates").returncode == 1
    for words in (("platform",), ("alerts", "test")):
        done = filled.snk(*words)
        assert (done.returncode, "the environment has no variable" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("payload", "key", "expected"),
    [
        ('{"day": 1}', "k", ['{"day": 1}']),
        ("{}", "k", ["k"]),
        ("{}", "0a0d2c9e-1c9b-4f1e-8c1e-3a1d5b6f7a88", []),
        ("{}", "nightly/0a0d2c9e-1c9b-4f1e-8c1e-3a1d5b6f7a88", []),
        ("{}", "", []),
        ("x" * 41, "", ["x" * 39 + "…"]),
    ],
)
def test_what_a_run_was_asked_for_is_told_shortly(payload: str, key: str, expected: list[str]) -> None:
    assert brief(payload, key) == expected


def test_only_a_terminal_cuts_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert fitted("x" * 21) == "x" * 21
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert fitted("x" * 21) == "x" * 19 + "…"
    assert fitted("x" * 20) == "x" * 20
