"""``snk drill``: the whole of it, on servers of its own and on somebody's pair; nothing is left of it afterwards."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snk.pair.drill.faults import all_faults
from snk.pair.drill.table import NAME
from tests.kit.daemons import run_snk
from tests.kit.databases import Database, until
from tests.kit.heirs import SCRIPT

PROCESSES = Path("/proc")
# A drill of all faults takes a minute where nothing else runs.
DRILL_SECONDS = 800.0


class Drill:
    """``snk drill`` as a process."""

    def __init__(self, state: Path, *arguments: str, heritage: str = "", **values: str) -> None:
        self.urls: dict[str, str] = {}
        parent = [sys.executable, SCRIPT, heritage] if heritage else []
        self._process = subprocess.Popen(
            [*parent, sys.executable, "-m", "snk", "drill", "--state", str(state), "--json", *arguments],
            env={**os.environ, **values},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._told = ""

    def until_line(self, words: str) -> None:
        """Read what it tells, up to a line that holds these words."""
        assert self._process.stderr
        for line in self._process.stderr:
            self._told += line
            if line.startswith(("first", "second")):
                label, url = line.split()[:2]
                self.urls[label] = url
            if words in line:
                return
        raise AssertionError(f"{words!r} never came:\n{self._told}")

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    @property
    def children(self) -> list[int]:
        """Its child processes: servers and daemons."""
        pid = self._process.pid
        return [int(child) for child in (PROCESSES / str(pid) / f"task/{pid}/children").read_text().split()]

    def end(self) -> tuple[int, dict[str, Any], str]:
        """Wait for its end: exit code, document, and what it told."""
        printed, told = self._process.communicate(timeout=DRILL_SECONDS)
        return self._process.returncode, json.loads(printed) if printed else {}, self._told + told


@pytest.fixture
def state(folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder that has to be empty again when the drill has ended."""
    place = folder / f"drill-{request.node.name.translate(str.maketrans('[]', '--'))}"
    place.mkdir(mode=0o755)
    yield place
    assert list(place.iterdir()) == []


def stopped(pids: list[int]) -> list[int]:
    """Those of the processes that are stopped by a signal."""
    states = {pid: (PROCESSES / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] for pid in pids}
    return [pid for pid, letter in states.items() if letter == "T"]


async def until_gone(pids: list[int]) -> None:
    async def gone() -> bool:
        return not any((PROCESSES / str(pid) / "exe").exists() for pid in pids)

    await until(gone, "all servers and daemons to end")


@pytest.mark.long
def test_every_fault_takes_place_and_not_a_row_is_lost_or_doubled(state: Path) -> None:
    code, told, words = Drill(state, "--seconds", "1").end()
    assert code == 0, words
    assert [fault["verdict"] for fault in told["faults"]] == ["held"] * len(all_faults()), words
    assert (told["held"], told["complete"], told["faults_inflicted"]) == (True, True, len(all_faults()))
    assert (told["rows_lost"], told["rows_doubled"]) == (0, 0)
    assert told["rows_committed"] == sum(fault["rows_committed"] for fault in told["faults"]) > 5000
    delays = {fault["fault"]: fault["longest_delay_seconds"] for fault in told["faults"]}
    for name in ("kill-daemon", "crash-first", "crash-second", "cut-network", "refused-row", "new-column"):
        assert delays[name] > 0.5, (name, delays)  # for so long at least nothing could pass


@pytest.mark.long
async def test_a_row_that_is_taken_away_by_hand_is_missed(state: Path) -> None:
    drill = Drill(state, "--only", "open-transaction")
    drill.until_line("1/1")
    first = Database(drill.urls["first"])

    async def there() -> bool:
        return bool(await first.value(f"select count(*) > 20 from {NAME}"))

    await until(there, "rows to take away")
    await first.run(f"delete from {NAME} where id = (select min(id) from {NAME})")
    code, told, words = drill.end()
    assert (code, told["held"], told["rows_lost"]) == (1, False, 1), words
    assert "1 lost" in words


@pytest.mark.sampled(1)
@pytest.mark.long
@pytest.mark.parametrize(
    ("how", "heritage"),
    [(signal.SIGINT, "ignored signals"), (signal.SIGTERM, "blocked signals"), (signal.SIGHUP, "")],
)
async def test_nothing_is_left_when_it_is_stopped_not_even_a_daemon_that_sleeps(
    state: Path, how: int, heritage: str
) -> None:
    drill = Drill(state, "--only", "hand-over", heritage=heritage)
    drill.until_line("1/1")

    async def asleep() -> bool:
        return bool(stopped(drill.children))

    await until(asleep, "the leader to be stopped")
    children = drill.children
    assert len(children) == 5
    drill.send(how)
    code, told, words = drill.end()
    assert (code, told["complete"]) == (2, False), words
    await until_gone(children)


@pytest.mark.long
async def test_servers_and_daemons_end_with_it_when_it_is_killed(folder: Path) -> None:
    place = folder / "drill-killed"
    place.mkdir(mode=0o755)
    drill = Drill(place, "--only", "hand-over")
    drill.until_line("1/1")

    async def asleep() -> bool:
        return bool(stopped(drill.children))

    await until(asleep, "the leader to be stopped")
    children = drill.children
    drill.send(signal.SIGKILL)
    assert drill.end()[0] == -signal.SIGKILL
    await until_gone(children)


@pytest.mark.long
async def test_on_a_pair_of_ones_own_it_makes_its_table_and_drops_it(pair: Any, state: Path) -> None:
    values = {"FIRST_DB_URL": pair.first, "SECOND_DB_URL": pair.second, "REDIS_URL": pair.redis}
    only = [part for name in ("drop-redis", "crash-first", "cut-network", "refused-row") for part in ("--only", name)]
    code, told, words = Drill(state, "--own", "--i-know-this-writes", "--seconds", "0.5", *only, **values).end()
    assert code == 0, words
    verdicts = {fault["fault"]: fault["verdict"] for fault in told["faults"]}
    assert verdicts == {"drop-redis": "held", "crash-first": "skipped", "cut-network": "held", "refused-row": "held"}
    assert "the drill does not stop servers of yours" in words
    assert "postgres:postgres" not in words
    for side in (Database(pair.first), Database(pair.second)):
        assert await side.value(f"select to_regclass('{NAME}') is null")
        for own in ("marks", "leases", "rejected", "conflicts"):
            assert await side.value(f"select count(*) from snk.{own}") == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "kill-deamon"], "There is no fault 'kill-deamon'. The nearest one is kill-daemon"),
        (["--own"], "--own writes into first (db1.example:5432/app) and second (db2.example/app)"),
        (["--i-know-this-writes"], "--i-know-this-writes is for --own"),
        (["--seconds", "0"], "--seconds"),
        (["--state", "/nowhere/at/all"], "--state"),
        (["--own", "--i-know-this-writes"], "127.0.0.1"),
    ],
)
def test_what_cannot_be_done_is_said_with_exit_code_2(arguments: list[str], words: str) -> None:
    first = "postgresql://me:secret@db1.example:5432/app"
    if "--i-know-this-writes" in arguments:
        first = "postgresql://me:secret@127.0.0.1:1/app"
    done = run_snk({"FIRST_DB_URL": first, "SECOND_DB_URL": "postgresql://db2.example/app"}, "drill", *arguments)
    assert (done.returncode, done.stdout.count("Traceback")) == (2, 0), done.stderr
    assert words in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_the_faults_are_listed_with_what_they_are() -> None:
    done = run_snk({}, "drill", "--list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [fault.name for fault in all_faults()]
    assert all(fault.sentence in done.stdout for fault in all_faults())
