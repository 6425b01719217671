"""Repairing rows by a plan: missing rows are copied once, everything else stays as it was."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.kit.daemons import DaemonProcess, run_snk
from tests.kit.databases import Database, until, until_equal

MANY = "insert into records (uuid, data) select md5('{0}' || i)::uuid, i::text from generate_series(1, {1}) i"


def settings(pair: Any) -> dict[str, str]:
    return {"FIRST_DB_URL": pair.first, "SECOND_DB_URL": pair.second, "REDIS_URL": pair.redis}


async def damaged(pair: Any, rows: int, damages: int) -> tuple[Database, Database]:
    """Equal rows on both sides, and as many that only one side has; two rows are in conflict."""
    first, second = Database(pair.first), Database(pair.second)
    assert run_snk(settings(pair), "init").returncode == 0
    for side in (first, second):
        await side.run(MANY.format("same", rows))
        await side.run(
            f"insert into records (uuid, data) values (md5('x')::uuid, '{'first' if side is first else ''}')"
        )
    await first.run(MANY.format("first", damages - damages // 2))
    await second.run(MANY.format("second", damages // 2))
    return first, second


async def equal_but_for_the_conflict(first: Database, second: Database) -> bool:
    """Whether both sides hold the same rows, and each its own of the two that differ."""
    contents = [await side.contents() for side in (first, second)]
    only = [contents[0] - contents[1], contents[1] - contents[0]]
    return [sum(each.values()) for each in only] == [1, 1]


@pytest.mark.long
@pytest.mark.sampled(2)
@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("damages", [1, 10, 10_000])
async def test_a_repair_copies_what_is_missing_and_leaves_conflicts_alone(
    pair: Any,
    damages: int,
    *,
    running: bool,
    pytestconfig: pytest.Config,
) -> None:
    # A daemon first looks at all rows of both sides: two minutes for a million, so that is done once.
    rows = 20_000
    if damages == 10_000 or not running:
        rows = 1_000_000 if pytestconfig.getoption("--full") else 60_000 if pytestconfig.getoption("--long") else rows
    first, second = await damaged(pair, rows, damages)
    if running:
        with DaemonProcess(pair, SNK_SWEEP_SECONDS="0") as daemon:
            await daemon.until_flowing()
            await until_both_hold(
                first, second, rows + damages + 1
            )  # what was there before the daemon is its own to copy
            await second.run(
                "delete from records where uuid in (select md5('first' || i)::uuid from"
                f" generate_series(1, {damages}) i)"
            )
            done = daemon.snk("verify", "--repair", "--yes", "--settle", "0")
            assert daemon.running
    else:
        done = run_snk(settings(pair), "verify", "--repair", "--yes", "--settle", "0")
    assert done.returncode == 1, done.stderr  # the conflict is still there
    assert "different: 1" in done.stdout
    assert await equal_but_for_the_conflict(first, second)
    assert await first.value("select count(*) from records where data = 'first'") == 1
    assert await first.value("select count(*) - count(distinct uuid) from records") == 0


async def until_both_hold(first: Database, second: Database, rows: int) -> None:
    """Wait until both sides hold so many rows."""

    async def equal() -> bool:
        counts = [await side.value("select count(*) from records") for side in (first, second)]
        return counts == [rows, rows]

    await until(equal, f"{rows} rows on both sides")


@pytest.mark.long
async def test_a_dry_run_shows_every_row_and_writes_nothing(pair: Any) -> None:
    first, second = await damaged(pair, 10, 3)
    done = run_snk(settings(pair), "verify", "--repair", "--dry-run", "--settle", "0")
    assert done.returncode == 1
    assert done.stdout.count(": copy to ") == 3
    assert not await equal_but_for_the_conflict(first, second)


@pytest.mark.long
@pytest.mark.parametrize(("answers", "copies"), [("N\n", False), ("", False), ("maybe\nD\nY\n", True)])
async def test_it_asks_before_it_copies(pair: Any, answers: str, copies: bool) -> None:  # noqa: FBT001
    first, second = await damaged(pair, 10, 3)
    done = run_snk(settings(pair), "verify", "--repair", "--settle", "0", says=answers)
    assert done.returncode == 1
    assert "repair? D shows the details. [Y/N/D]: " in done.stdout
    assert await equal_but_for_the_conflict(first, second) == copies


@pytest.mark.long
async def test_a_plan_is_applied_once_and_only_where_it_was_made(pair: Any, tmp_path: Path) -> None:
    first, second = await damaged(pair, 10, 4)
    file = tmp_path / "plan.json"
    assert run_snk(settings(pair), "verify", "--repair", "--out", str(file), "--settle", "0").returncode == 1
    assert not await equal_but_for_the_conflict(first, second)
    turned = {**settings(pair), "FIRST_DB_URL": pair.second, "SECOND_DB_URL": pair.first}
    other = run_snk(turned, "apply", str(file), "--settle", "0")
    assert (other.returncode, "other databases" in other.stderr) == (2, True)
    done = run_snk(settings(pair), "apply", str(file), "--settle", "0")
    assert (done.returncode, "copied 4 rows" in done.stdout) == (1, True)
    assert await equal_but_for_the_conflict(first, second)
    again = run_snk(settings(pair), "apply", str(file), "--settle", "0")
    assert (again.returncode, "applied before" in again.stderr) == (2, True)
    entries = await first.rows("select plan, jsonb_array_length(actions), overtaken from snk.journal")
    assert entries == [(json.loads(file.read_text())["id"], 4, [])]


@pytest.mark.long
async def test_what_came_or_went_since_the_plan_is_overtaken(pair: Any, tmp_path: Path) -> None:
    first, second = await damaged(pair, 10, 4)
    file = tmp_path / "plan.json"
    run_snk(settings(pair), "verify", "--repair", "--out", str(file), "--settle", "0")
    await second.run("insert into records (uuid, data) values (md5('first1')::uuid, 'another')")
    await first.run("delete from records where uuid = md5('first2')::uuid")
    done = run_snk(settings(pair), "apply", str(file), "--settle", "0")
    assert "copied 2 rows\n  2 rows need not be copied any more" in done.stdout
    assert await second.value("select data from records where uuid = md5('first1')::uuid") == "another"


@pytest.mark.long
async def test_a_refused_row_is_told_and_the_others_are_copied(pair: Any) -> None:
    _, second = await damaged(pair, 10, 6)
    await second.run("alter table records add check (data <> '2') not valid")
    done = run_snk(settings(pair), "verify", "--repair", "--yes", "--settle", "0")
    assert done.returncode == 1
    assert "violates check constraint" in done.stdout
    assert await second.value("select count(*) from records where uuid = md5('first3')::uuid") == 1


@pytest.mark.long
async def test_a_file_that_is_no_plan_is_refused(pair: Any, tmp_path: Path) -> None:
    (tmp_path / "plan").write_text("{}")
    done = run_snk(settings(pair), "apply", str(tmp_path / "plan"))
    assert (done.returncode, "not a plan" in done.stderr) == (2, True)
    done = run_snk(settings(pair), "verify", "--yes")
    assert (done.returncode, "belong to --repair" in done.stderr) == (2, True)


@pytest.mark.long
async def test_a_survey_counts_what_a_first_run_will_find(pair: Any) -> None:
    await damaged(pair, 5000, 30_000)
    done = run_snk(settings(pair), "plan", "--json")
    assert done.returncode == 1, done.stderr
    (told,) = json.loads(done.stdout)["tables"]
    assert (told["only_in_first"], told["only_in_second"], told["both"], told["conflicts"]) == (15_000, 15_000, 5000, 1)
    assert "in conflict:    1" in run_snk(settings(pair), "plan").stdout
    with DaemonProcess(pair) as daemon:
        await daemon.until_flowing()
        await until_both_hold(Database(pair.first), Database(pair.second), 35_001)
    (told,) = json.loads(run_snk(settings(pair), "plan", "--json").stdout)["tables"]
    assert (told["only_in_first"], told["only_in_second"], told["both"], told["conflicts"]) == (0, 0, 35_000, 1)


@pytest.mark.long
async def test_a_survey_of_equal_or_empty_sides(pair: Any) -> None:
    run_snk(settings(pair), "init")
    assert run_snk(settings(pair), "plan").returncode == 0
    first, second = Database(pair.first), Database(pair.second)
    for side in (first, second):
        await side.run(MANY.format("same", 100))
    assert "on both, equal: 100" in run_snk(settings(pair), "plan").stdout
    await until_equal(first, second, 100)
