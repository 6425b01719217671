"""The benchmark runs, small and once: whether anybody is fast is not tested."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench import report
from bench.results import Result, save
from bench.suite import SMOKE, suite

ROOT = Path(__file__).parents[2]


FIRST = "live"
"""The first scenario; the others, which take minutes, are left to `--full`."""
SCENARIOS = [
    pytest.param(name, marks=pytest.mark.long if name == FIRST else pytest.mark.full)
    for name, scenario in suite(SMOKE).items()
    if scenario.cases
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_runs_and_loses_nothing(scenario: str) -> None:
    command = [sys.executable, "-m", "bench", "--smoke", scenario]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr
    measured = [line for line in done.stdout.splitlines() if ", round 1: " in line]
    assert measured
    assert all('"lost": 0' in line for line in measured if ": snk {" in line and '"lost"' in line)


def test_costs_are_shown_of_what_was_measured(tmp_path: Path) -> None:
    save(tmp_path, "live", [Result("8 rows", "snk", 1, {"own_cpu": 1.25, "rows_per_second": 77})])
    scenarios = suite(SMOKE)
    results = report.kept(tmp_path, "cost", scenarios)
    assert results
    table = report.table(scenarios["cost"], results)
    assert "**Live: 8 rows**, 1 round" in table
    assert "| snk | 1.25 |" in table
    assert "77" not in table
