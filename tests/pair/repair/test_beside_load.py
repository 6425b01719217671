"""A repair beside TST at full speed and a running daemon finds nothing to repair: rows in flight are not missing."""

import subprocess
import sys
from typing import Any

import pytest

from tests.kit.daemons import DaemonProcess
from tests.kit.databases import Database, until

RUNS, MOST_RUNS = 2, 5


@pytest.mark.long
async def test_rows_in_flight_are_no_damage(pair: Any, run: int, pytestconfig: pytest.Config) -> None:
    """``--full --runs 10`` makes it fifty."""
    first, second = Database(pair.first), Database(pair.second)
    with DaemonProcess(pair) as daemon:
        await daemon.until_flowing()
        load = subprocess.Popen([sys.executable, "-m", "tst", "--quiet", "--seed", str(run)], env=daemon.environment)
        try:
            await until(lambda: first.value("select exists (select from records)"), "the load to begin")
            for number in range(MOST_RUNS if pytestconfig.getoption("--full") else RUNS):
                done = daemon.snk("verify", "--repair", "--yes")
                assert done.returncode == 0, f"{number}: {done.stdout}{done.stderr}"
                assert load.poll() is None
        finally:
            load.terminate()
            load.wait()

        async def settled() -> bool:
            return bool(await first.digest() == await second.digest())

        await until(settled, "both sides equal when the load has ended")
        assert await first.value("select count(*) from records") > 0
