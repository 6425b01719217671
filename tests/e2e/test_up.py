"""``snk up``: the whole job in one command, and nothing left of it afterwards."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from snk.pair.servers import EmbeddedPair
from tests.kit.databases import DEADLINE_SECONDS, until
from tests.kit.heirs import HERITAGES, SCRIPT

PROCESSES = Path("/proc")


def running_in(folder: Path) -> list[int]:
    """Processes whose command line or environment names this folder's servers."""
    found = []
    for entry in PROCESSES.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if str(folder) in (entry / "cmdline").read_text(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


class Up:
    def __init__(self, state: Path, *arguments: str, heritage: str = "") -> None:
        self.state = state
        parent = [sys.executable, SCRIPT, heritage] if heritage else []
        self.process = subprocess.Popen(
            [*parent, sys.executable, "-m", "snk", "up", "--state", str(state), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until_line(self, words: str) -> str:
        """Read its output up to a line with these words."""
        assert self.process.stdout
        seen = ""
        for line in self.process.stdout:
            seen += line
            if re.search(words, line):
                return line
        raise AssertionError(f"{words!r} never came:\n{seen}")

    def end(self) -> tuple[int, str]:
        """Wait for its end."""
        rest, _ = self.process.communicate(timeout=DEADLINE_SECONDS)
        return self.process.returncode, rest


@pytest.fixture
def state(folder: Path) -> Iterator[Path]:
    place = folder / f"up-{os.getpid()}-{len(list(folder.iterdir()))}"
    yield place
    assert running_in(place) == []


def test_loads_syncs_verifies_and_ends(state: Path) -> None:
    code, printed = Up(state, "--rows", "20500").end()
    assert code == 0, printed
    assert "20500 rows in" in printed
    assert "% of 20,500 rows were on both sides when it stopped" in printed
    assert "public.records: equal, 20,500 rows in first, 20,500 in second" in printed
    code, printed = Up(state, "--rows", "1000").end()
    assert code == 0, printed
    assert "% of 1,000 rows were on both sides when it stopped" in printed, "rows of an earlier run are counted"


@pytest.mark.long
@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("how", "heritage"),
    [(signal.SIGINT, ""), (signal.SIGHUP, ""), (signal.SIGINT, "ignored signals"), (signal.SIGTERM, "blocked signals")],
)
def test_ctrl_c_stops_the_load_finishes_and_verifies(state: Path, how: int, heritage: str) -> None:
    up = Up(state, heritage=heritage)
    up.until_line(r"first→second [1-9]")
    up.process.send_signal(how)
    code, printed = up.end()
    assert code == 0, printed
    assert "equal" in printed


def pid_files(state: Path) -> list[Path]:
    """There as long as a server runs, and after a server that was killed.

    While a cluster is made there are processes that are no servers, whose numbers are negative in it.
    """
    return [path for path in state.glob("*/data/postmaster.pid") if _first_line(path).isdigit()]


def _first_line(path: Path) -> str:
    try:
        return path.read_text().partition("\n")[0]
    except FileNotFoundError:
        return ""


@pytest.mark.sampled(2)
@pytest.mark.long
@pytest.mark.parametrize("heritage", HERITAGES)
def test_it_does_the_same_whatever_its_parent_has_left_behind(state: Path, heritage: str) -> None:
    code, printed = Up(state, "--rows", "1000", heritage=heritage).end()
    assert code == 0, printed
    assert ("records: equal" in printed) == (heritage != "closed streams"), printed
    assert not pid_files(state)


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_servers_that_are_still_starting_are_stopped_in_good_order(state: Path, how: signal.Signals) -> None:
    up = Up(state, heritage="ignored signals")

    async def starting() -> bool:
        return bool(pid_files(state))

    await until(starting, "the first server")
    up.process.send_signal(how)
    code, printed = up.end()
    assert (code, "Traceback" in printed) == (130, False), printed
    assert not pid_files(state)


@pytest.mark.long
def test_without_load_the_pair_is_the_users_and_a_second_run_is_refused(state: Path, servers: EmbeddedPair) -> None:
    up = Up(state, "--no-tst")
    first = up.until_line("^first").split()[1]
    second = up.until_line("^second").split()[1]
    refused, words = Up(state).end()
    assert refused == 2
    assert f"Servers run in {state} already" in words
    psql = str(servers.first.executable("psql"))
    insert = "insert into records (uuid, data) values (gen_random_uuid(), 'by hand')"
    subprocess.run([psql, "-qX", "-d", first, "-c", insert], check=True)
    count = [psql, "-AtX", "-d", second, "-c", "select count(*) from records"]
    up.until_line(r"first 1 \| second 1")
    assert subprocess.run(count, check=True, capture_output=True, text=True).stdout.strip() == "1"
    up.process.send_signal(signal.SIGTERM)
    code, printed = up.end()
    assert (code, "1 rows in first, 1 in second" in printed) == (0, True), printed


@pytest.mark.long
async def test_nothing_is_left_running_when_it_is_killed(state: Path) -> None:
    up = Up(state)
    up.until_line(r"first→second [1-9]")
    daemons = [int(pid) for pid in Path(f"/proc/{up.process.pid}/task/{up.process.pid}/children").read_text().split()]
    assert len(daemons) >= 4
    up.process.kill()
    up.process.communicate()

    async def gone() -> bool:
        return not running_in(state) and not any(Path(f"/proc/{pid}/exe").exists() for pid in daemons)

    await until(gone, "all children to end")
    code, printed = Up(state, "--rows", "1000").end()
    assert code == 0, printed
