"""The benchmark runs, small and once: whether anybody is fast is not tested."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.suite import SMOKE, suite

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("scenario", suite(SMOKE))
def test_a_scenario_runs_and_loses_nothing(scenario: str) -> None:
    command = [sys.executable, "-m", "bench", "--smoke", scenario]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    measured = [line for line in done.stdout.splitlines() if ", round 1: " in line]
    assert measured
    assert all('"lost": 0' in line for line in measured if ": snk {" in line and '"lost"' in line)
