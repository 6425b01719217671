"""Writes results as Markdown: one table per scenario, between two markers in a hand-written page."""

from collections.abc import Mapping
from pathlib import Path

from bench.results import OURS, Results, gather, load
from bench.scenario import Scenario, Shown

BEGIN, END = "<!-- figures: made by `make bench` -->\n", "<!-- end of figures -->\n"


def write(page: Path, folder: Path, scenarios: Mapping[str, Scenario]) -> None:
    """Write the tables of all measured scenarios into a page."""
    tables = [
        table(scenario, results)
        for name, scenario in scenarios.items()
        if (results := kept(folder, name, scenarios)) is not None and results.cases
    ]
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(before + BEGIN + "\n" + "\n".join(tables) + "\n" + END + after)


def kept(folder: Path, name: str, scenarios: Mapping[str, Scenario]) -> Results | None:
    """Return the results of a scenario, or of the scenarios that it gathers; None if it was never measured."""
    gathers = scenarios[name].gathers
    return gather(folder, {each: scenarios[each].title for each in gathers}) if gathers else load(folder, name)


def table(scenario: Scenario, results: Results) -> str:
    """Return a table of medians per case and contender, and SNK's ratios to the others as median, minimum, maximum."""
    compared = [shown for shown in scenario.shown if shown.compared]
    heads = ["", *(shown.title for shown in scenario.shown), *(f"SNK's ratio, {shown.title}" for shown in compared)]
    lines = [
        f"### {scenario.title}\n",
        f"{scenario.about}\n",
        *([f"Measured {results.measured}.\n"] if results.measured else []),
        _line(heads),
        _line(["---"] + ["--:"] * (len(heads) - 1)),
    ]
    for case in results.cases:
        lines.append(_line([f"**{case}**, {_rounds(len(results.rounds(case)))}", *[""] * (len(heads) - 1)]))
        for contender in results.contenders(case):
            cells = [_median(results, case, contender, shown) for shown in scenario.shown]
            cells += [_ratio(results, case, contender, shown) for shown in compared]
            lines.append(_line([contender, *cells]))
    return "\n".join(lines) + "\n"


def _rounds(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds"


def _median(results: Results, case: str, contender: str, shown: Shown) -> str:
    if shown.name == "lost":
        return f"{sum(results.values(case, contender, shown.name)):,.0f}"
    median = results.median(case, contender, shown.name)
    return "" if median is None else f"{median:,.{shown.digits}f}"


def _ratio(results: Results, case: str, contender: str, shown: Shown) -> str:
    """Return the factor by which SNK is better."""
    if contender == OURS:
        return ""
    if shown.less:
        ratios = results.ratios(case, shown.name, over=OURS, of=contender)
    else:
        ratios = results.ratios(case, shown.name, over=contender)
    if not ratios:
        return ""
    middle = (ratios[len(ratios) // 2] + ratios[~(len(ratios) // 2)]) / 2
    return f"{middle:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
