"""The commands as a person or a script runs them: words, exit codes, files."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from snk.db.journal import prepare
from snk.resync.run import locked
from tests.kit.assignments import World
from tests.kit.commands import run_command

Run = Callable[..., subprocess.CompletedProcess[str]]
WAITING = sa.text("select 1 from pg_stat_activity where application_name = 'snk' and wait_event_type = 'Lock'")
WORKING = sa.text(
    "select 1 from pg_stat_activity where application_name = 'snk' and datname = current_database()"
    " and pid <> pg_backend_pid()"
)
MORE = '\n[resync.state]\ntable = "row"\ncolumn = "prog_state_cd"\n'


@pytest.fixture
def config(world: World, tmp_path: Path) -> Path:
    """The least configuration."""
    path = tmp_path / "snk.toml"
    path.write_text(f'[resync]\ndatabase = "{world.dsn}"\nredis = "{world.redis_url}"\ngrace_seconds = 0.0\n')
    return path


@pytest.fixture
def snk(config: Path) -> Run:
    """Run `snk resync` with these words."""

    def started(*words: str, says: str = "", settings: Path = config) -> subprocess.CompletedProcess[str]:
        return run_command("resync", *words, says=says, environment={**os.environ, "SNK_CONFIG": str(settings)})

    return started


async def damage(world: World) -> None:
    """A single project that lacks rows, and a multiple one with both kinds of difference."""
    await world.project("S", "0", 7)
    await world.rows("S", 7, (1, 1))
    await world.project("M", "1", 8)
    await world.rows("M", 8, (1, 5))
    await world.counters(sasp_7=3, maic_8_1=2)


@pytest.mark.long
async def test_yes_synchronises_and_checks_again(world: World, snk: Run) -> None:
    await damage(world)
    done = snk("S", says="D\nmaybe\nY\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sync? [Y/N/D]: ") == 3
    assert "Please answer Y, N or D." in done.stdout
    assert done.stdout.count("insert 1 row: task 7, source 2, worker -1") == 2  # in the dry run, and when it was done
    assert "second check:" in done.stdout
    assert done.stdout.rstrip().endswith("equal")
    assert await world.held(7) == [(1, 1), (2, -1), (3, -1)]


@pytest.mark.long
async def test_no_and_nobody_there_change_nothing(world: World, snk: Run) -> None:
    await damage(world)
    nobody = "not changed: nobody answered; --yes answers"
    for answer, told in (("N\n", "not synchronised"), ("D\nN\n", "not synchronised"), ("yes\n", nobody)):
        done = snk("S", says=answer)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (1, told)
    assert await world.held(7) == [(1, 1)]


@pytest.mark.long
async def test_both_parts_of_multiple_assignment_are_asked_for(world: World, snk: Run) -> None:
    await damage(world)
    done = snk("M", says="Y\nN\n")
    assert done.returncode == 1
    assert done.stdout.index("sync cnt? [Y/N/D]: ") < done.stdout.index("sync mx? [Y/N/D]: ")
    assert await world.redis.get("mapc_8_5") is None
    done = snk("M", says="Y\n")
    assert done.returncode == 0
    assert "sync cnt?" not in done.stdout
    assert "mapc_8_5 : absent -> 1" in done.stdout


@pytest.mark.long
async def test_check_tells_one_project_or_all_and_writes_nothing(world: World, snk: Run) -> None:
    await damage(world)
    told = snk("check", "S", "--json")
    assert told.returncode == 1
    assert json.loads(told.stdout)["differences"][0]["action"] == "insert"
    told = snk("check", "--all", "--json")
    assert told.returncode == 1
    assert [each["project"] for each in json.loads(told.stdout)["projects"]] == ["M", "S"]
    await world.counters(sasp_7=1, maic_8_1=1, mapc_8_5=1)
    assert snk("check", "--all").returncode == 0
    assert snk("check", "S").stdout.rstrip().endswith("equal")


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["check", "nobody"], "no project 'nobody'"),
        (["nobody", "--yes"], "no project 'nobody'"),
        (["check"], "--all"),
        (["check", "S", "--all"], "--all"),
        (["S", "--json"], "--json cannot ask"),
        (["apply", "/no/such/file"], "cannot be read"),
        (["plan", "S", "--out", "/no/such/folder/file"], "cannot be written"),
    ],
)
async def test_bad_input_is_named_with_exit_code_2(world: World, snk: Run, words: list[str], why: str) -> None:
    await damage(world)
    done = snk(*words)
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_plan_is_written_shown_applied_once_and_kept(world: World, snk: Run, tmp_path: Path) -> None:
    await damage(world)
    file = tmp_path / "plan.json"
    assert snk("plan", "S", "--out", str(file)).returncode == 1
    shown = snk("apply", str(file), "--print")
    assert shown.stdout.count("INSERT INTO tb_prj_data") == 2
    assert await world.held(7) == [(1, 1)]
    assert snk("apply", str(file)).returncode == 0
    again = snk("apply", str(file))
    assert (again.returncode, "applied before" in again.stderr) == (2, True)
    told = json.loads(snk("history", "S", "--json").stdout)
    assert [each["plan"] for each in told] == [json.loads(file.read_text())["id"]]
    assert "insert 2 rows, set 0 counters" in snk("history", "S").stdout
    assert "nothing was done" in snk("history", "M").stdout


@pytest.mark.long
async def test_a_plan_that_was_edited_is_refused(world: World, snk: Run, tmp_path: Path) -> None:
    await damage(world)
    file = tmp_path / "plan.json"
    snk("plan", "S", "--out", str(file))
    file.write_text(file.read_text().replace('"source": 3', '"source": 4'))
    done = snk("apply", str(file))
    assert (done.returncode, "changed since" in done.stderr) == (2, True)


@pytest.mark.long
async def test_what_is_printed_does_what_would_be_done(world: World, snk: Run) -> None:
    """The printed SQL and commands, run by the servers' own means, leave nothing to be done."""
    await damage(world)
    await world.rows("M", 8, (1, 6), (2, 6))
    for project in ("S", "M"):
        printed = snk(project, "--print").stdout
        for statement in 2 * re.findall(r"^WITH .*?;$", printed, re.MULTILINE | re.DOTALL):  # the second time in vain
            await world.do(statement.replace(":", r"\:"))
        for line in printed.splitlines():
            if line.startswith("EVAL "):
                assert await world.redis.execute_command(*shlex.split(line)) == 1
                assert await world.redis.execute_command(*shlex.split(line)) == 0  # it holds another value by now
        assert snk("check", project).returncode == 0, printed
    assert (await world.labels(7), await world.labels(8)) == ([(1, 0), (2, 0), (3, 0)], [(1, 0), (1, 1), (2, 0)])


@pytest.mark.long
async def test_a_dry_run_changes_nothing(world: World, snk: Run) -> None:
    await damage(world)
    done = snk("S", "--dry-run")
    assert done.returncode == 1
    assert "insert 1 row: task 7, source 2, worker -1" in done.stdout
    assert await world.held(7) == [(1, 1)]


@pytest.mark.long
async def test_yes_and_json_tell_before_and_after(world: World, snk: Run) -> None:
    await damage(world)
    told = json.loads(snk("M", "--yes", "--json").stdout)
    assert (told["before"]["equal"], told["after"]["equal"]) == (False, True)
    assert {action["outcome"] for part in told["applied"] for action in part["actions"]} == {"done"}


@pytest.mark.long
async def test_a_locked_project_and_one_in_process_say_so_with_2(world: World, snk: Run, config: Path) -> None:
    await damage(world)
    async with locked(world.server, "S"):
        done = snk("S", "--yes")
    assert (done.returncode, "Another run" in done.stderr) == (2, True)
    config.write_text(config.read_text() + 'in_process = ["WORK_END"]\n' + MORE)
    done = snk("S", "--yes")
    assert (done.returncode, "in process (WORK_END)" in done.stderr) == (2, True)
    assert snk("S", "--yes", "--while-live").returncode == 0


@pytest.mark.long
async def test_a_run_that_is_killed_leaves_all_rows_or_none_and_the_next_finishes(world: World, config: Path) -> None:
    """The database holds the transaction up, so that the run is killed in the middle of it."""
    await world.project("S", "0", 7)
    await world.rows("S", 7, (1, 1), (9, 1))
    await world.counters(sasp_7=4)
    command = [sys.executable, "-m", "snk", "resync", "S", "--yes", "--config", str(config)]
    for held_up in ("tb_tmpl_img_label_data", "snk.journal"):
        async with world.server.begin() as connection:
            await connection.exec_driver_sql("set local idle_in_transaction_session_timeout = 0")
            await connection.exec_driver_sql(f"lock table {held_up} in share mode")
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while not await world.ask(WAITING):
                assert process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        while await world.ask(WORKING):
            pass
        assert await world.held(7) == [(1, 1), (9, 1)]
        assert await world.redis.get("sasp_7") == b"4"
        if held_up.startswith("tb"):
            await prepare(world.server, "")
    _, checked = await world.repair("S")
    assert checked.equal
    assert len(await world.held(7)) == 9
