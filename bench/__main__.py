"""``python -m bench``: runs every scenario with one contender after another, and writes the tables and plots.

Results are stored as JSON, one file per scenario, in ``bench/results``. The tables in ``bench/RESULTS.md`` and the
plots are made from all stored results, so a single scenario can be measured again.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import plot, report
from bench.contenders.bucardo import Bucardo
from bench.contenders.contender import Contender
from bench.contenders.original import Original
from bench.results import Result, save
from bench.scenario import Scenario
from bench.suite import SMOKE, Sizes, suite
from snk.cli.inherited import settle

HERE = Path(__file__).parent


def main() -> None:
    """Run the requested scenarios."""
    settle()
    wanted = _wanted()
    scenarios = suite(SMOKE if wanted.smoke else Sizes(), _slow())
    chosen = wanted.scenario or list(scenarios)
    if unknown := set(chosen) - scenarios.keys():
        raise SystemExit(f"There is no scenario {', '.join(sorted(unknown))}; there are {', '.join(scenarios)}")
    rounds = wanted.rounds or (1 if wanted.smoke else 5)
    with tempfile.TemporaryDirectory() as elsewhere:
        folder = Path(elsewhere) if wanted.smoke else HERE / "results"
        for name in chosen:
            _measure(scenarios[name], rounds, folder)
            results = report.kept(folder, name, scenarios)
            assert results  # noqa: S101 - they were saved just now
            print(report.table(scenarios[name], results) if results.cases else f"{name}: nothing to show", flush=True)
            if scenarios[name].cases:
                (folder / f"{name}.svg").write_text(plot.plot(scenarios[name], results))
        if not wanted.smoke:
            report.write(HERE / "RESULTS.md", folder, scenarios)


def _measure(scenario: Scenario, rounds: int, folder: Path) -> None:
    results: list[Result] = []
    for case in scenario.cases:
        for result in case.run(rounds):
            results.append(result)
            shown = {name: round(value, 3) for name, value in result.figures.items()}
            print(
                f"{scenario.name}, {result.case}, round {result.number}: {result.contender}",
                json.dumps(shown),
                flush=True,
            )
            save(folder, scenario.name, results)


def _slow() -> list[Callable[[], Contender]]:
    """The installed contenders that cannot keep up; for the others, print why they are missing."""
    slow: list[Callable[[], Contender]] = []
    for make in (Original, Bucardo):
        if why := make().absent():
            print(f"{make.name} does not take part: {why}")
        else:
            slow.append(make)
    return slow


def _wanted() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="SNK against others, side by side.")
    parser.add_argument("scenario", nargs="*", help="only these; without one, all")
    parser.add_argument("--rounds", type=int, help="how often each is measured; 5 without it")
    parser.add_argument("--smoke", action="store_true", help="all of it once, and small: does it run at all?")
    return parser.parse_args()


if __name__ == "__main__":
    main()
