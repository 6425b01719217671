"""What many pairs cost, and on how many machines their daemons fit: computed from the figures in ``bench/results``.

``python -m bench.scale_model --pairs 1000`` draws pairs of different sizes, gives each a daemon, places the daemons on
machines, and then lets a day pass, minute by minute, in which the pairs are busy at different times. docs/scale.md says
what follows.
"""

import argparse
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.results import OURS, load
from snk.pair.core.budget import CONNECTIONS

RESULTS = Path(__file__).parent / "results"
MINUTES = 24 * 60
SPREAD = 1.0  # sigma of the logarithm of a pair's tables and rows: one in forty is seven times as large as the median
BATCHES_PER_SECOND = 30.0  # of a table under load
BUSY = 2.5  # in a third of the day, as a multiple of the average
FULL = 0.7  # how much of a machine's cores the average load may take


@dataclass(frozen=True, slots=True)
class Costs:
    """What a daemon costs: a base, and more for each table and each row.

    Attributes:
        own: shares of a core while nothing happens, for a daemon and for each of its tables.
        server: the same, of each server.
        mib: memory of the daemon, in the same way.
        own_per_row: core seconds of the daemon for each row that it delivers.
        own_per_batch: and for each batch: that of a lone row.
        server_per_row: core seconds of both servers together, the inserts of the applications among them.
        bytes_per_row: over the network.
    """

    own: tuple[float, float]
    server: tuple[float, float]
    mib: tuple[float, float]
    own_per_row: float
    server_per_row: float
    bytes_per_row: float
    own_per_batch: float = 0.006


@dataclass(frozen=True, slots=True)
class Pair:
    """One pair of databases.

    Attributes:
        rows: per second, in the average of a day.
        together: rows in one transaction.
    """

    tables: int
    rows: float
    together: float = 10.0

    def cores(self, costs: Costs, rows: float) -> float:
        """What its daemon takes while so many rows a second come; as it is one process, a core at most.

        Transactions that come fast share a batch.
        """
        batches = min(rows / self.together, BATCHES_PER_SECOND * self.tables)
        idle = costs.own[0] + costs.own[1] * self.tables
        return min(1.0, idle + costs.own_per_row * rows + costs.own_per_batch * batches)

    def mib(self, costs: Costs) -> float:
        """What its daemon holds in memory."""
        return costs.mib[0] + costs.mib[1] * self.tables


@dataclass(slots=True)
class Machine:
    """One machine, and the pairs whose daemons it runs."""

    cores: float
    mib: float
    pairs: list[Pair] = field(default_factory=list)

    def takes(self, pair: Pair, costs: Costs) -> bool:
        """Put a daemon here, if it fits; return whether it does."""
        cores, mib = pair.cores(costs, pair.rows), pair.mib(costs)
        if cores > self.cores or mib > self.mib:
            return False
        self.cores, self.mib = self.cores - cores, self.mib - mib
        self.pairs.append(pair)
        return True


def measured(folder: Path = RESULTS) -> Costs:
    """The medians of what was measured last: idle cost by the number of tables, and the cost of rows under load."""
    tables, live = load(folder, "tables"), load(folder, "live")
    if tables is None or live is None:
        raise SystemExit("Measure first: python -m bench tables live")
    counts = {case: int(case.split()[0].replace(",", "")) for case in tables.cases}

    def line(figure: str, part: float = 1.0) -> tuple[float, float]:
        points = {
            counts[case]: part * statistics.median(each.figures[figure] for each in tables if each.case == case)
            for case in tables.cases
        }
        fitted = statistics.linear_regression(list(points), list(points.values()))
        return max(0.0, fitted.intercept), max(0.0, fitted.slope)

    def per_row(figure: str) -> float:
        return statistics.median(each.figures[figure] for each in live if each.contender == OURS)

    return Costs(
        line("idle_own_percent", 0.01),
        line("idle_server_percent", 0.01),
        line("peak_mib"),
        per_row("own_cpu") / 1e6,
        per_row("server_cpu") / 1e6,
        per_row("wire_bytes"),
    )


def drawn(count: int, tables: float, rows: float, chance: random.Random, together: float = 10.0) -> list[Pair]:
    """Pairs of different sizes, with so many tables and rows a second in the average."""
    sizes = [chance.lognormvariate(0, SPREAD) for _ in range(count)]
    mean = statistics.fmean(sizes)
    return [Pair(max(1, round(tables * size / mean)), rows * size / mean, together) for size in sizes]


def placed(pairs: Sequence[Pair], costs: Costs, cores: int, gib: float) -> list[Machine]:
    """The machines that all daemons need: the largest daemon first, each onto the first machine where it fits."""
    machines: list[Machine] = []
    for pair in sorted(pairs, key=lambda each: each.cores(costs, each.rows), reverse=True):
        if not any(machine.takes(pair, costs) for machine in machines):
            machine = Machine(FULL * cores, FULL * gib * 1024)
            if not machine.takes(pair, costs):
                raise SystemExit(f"No machine of {cores} cores and {gib:g} GiB can run a daemon for {pair}")
            machines.append(machine)
    return machines


def day(machine: Machine, costs: Costs, chance: random.Random) -> list[float]:
    """The cores that the daemons of a machine take in each minute of a day: a pair is busy in a third of it."""
    used = [0.0] * MINUTES
    for pair in machine.pairs:
        starts = chance.randrange(MINUTES)
        for minute in range(MINUTES):
            busy = (minute - starts) % MINUTES < MINUTES / 3
            rows = pair.rows * (BUSY if busy else 0.25) * chance.lognormvariate(-0.125, 0.5)
            used[minute] += pair.cores(costs, rows)
    return used


def told(pairs: Sequence[Pair], costs: Costs, cores: int, gib: float, chance: random.Random) -> Iterator[str]:
    """What all of it comes to."""
    tables, rows = sum(pair.tables for pair in pairs), sum(pair.rows for pair in pairs)
    idle = sum(pair.cores(costs, 0) for pair in pairs)
    yield f"{len(pairs):,} pairs, {tables:,} tables, {rows:,.0f} rows/s in all"
    yield f"daemons: {len(pairs):,}; {CONNECTIONS} connections to each of {2 * len(pairs):,} servers"
    yield f"cores of all daemons: {idle:.1f} idle, {sum(pair.cores(costs, pair.rows) for pair in pairs):.1f} on average"
    yield f"memory of all daemons: {sum(pair.mib(costs) for pair in pairs) / 1024:,.0f} GiB"
    servers = statistics.fmean(costs.server[0] + costs.server[1] * pair.tables for pair in pairs)
    yield f"each server: {100 * servers:.1f} % of a core idle, {100 * costs.server_per_row / 2:.4f} % more per row/s"
    yield f"network: {8 * costs.bytes_per_row * rows / 1e6:,.0f} Mbit/s in all"
    busy = sum(pair.cores(costs, BUSY * pair.rows) >= 1 for pair in pairs)
    yield f"pairs whose daemon fills a core in busy hours, so that a second daemon is worth it: {busy:,}"
    machines = placed(pairs, costs, cores, gib)
    used = [day(machine, costs, chance) for machine in machines]
    over = sum(minute > cores for each in used for minute in each) / (MINUTES * len(machines))
    yield f"machines of {cores} cores and {gib:g} GiB: {len(machines):,}, {len(pairs) / len(machines):.0f} daemons each"
    yield f"in a day: {max(map(max, used)) / cores:.0%} of the cores in the busiest minute, {over:.2%} of minutes full"


def main() -> None:
    """Compute for the pairs that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale_model", description="What many pairs cost.")
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--tables", type=float, default=20, help="of a pair, on average")
    parser.add_argument("--rows", type=float, default=50, help="per second of a pair, on average")
    parser.add_argument("--together", type=float, default=10, help="rows in one transaction")
    parser.add_argument("--lone-ms", type=float, default=6, help="CPU time of a daemon for a lone row")
    parser.add_argument("--cores", type=int, default=8, help="of a machine")
    parser.add_argument("--gib", type=float, default=32, help="memory of a machine")
    parser.add_argument("--seed", type=int, default=1, help="of chance; the same seed gives the same pairs")
    wanted = parser.parse_args()
    chance = random.Random(wanted.seed)  # noqa: S311 - a simulation
    pairs = drawn(wanted.pairs, wanted.tables, wanted.rows, chance, wanted.together)
    costs = replace(measured(), own_per_batch=wanted.lone_ms / 1000)
    for line in told(pairs, costs, wanted.cores, wanted.gib, chance):
        print(line)


if __name__ == "__main__":
    main()
