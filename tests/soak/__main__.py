"""``python -m tests.soak --minutes 20 --seed 7``: hostile writers and faults of all kinds, to the exact end.

Exit code 0 only if both sides hold every committed row once and nothing else, nothing is set aside, and the daemons'
memory and holes stayed flat. The seed fixes when which fault happens and what each transaction does; what meets what
in time is up to the machine.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from snk.cli.inherited import settle
from snk.pair.servers import embedded_pair
from tests.soak.faults import schedule
from tests.soak.plot import plot
from tests.soak.samples import lives, medians
from tests.soak.soak import OPTIONS, Plan, Soaked, overlapping, soak


def main() -> int:
    """Run one soak and tell what came of it."""
    settle()
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", default="", help="of the faults and transactions; one is made up if none is given")
    parser.add_argument("--gap-seconds", type=float, default=8.0, help="from one fault to the next, on average")
    parser.add_argument("--rows-per-second", type=float, default=1500.0, help="what the writers do at most")
    parser.add_argument("--tables", type=int, default=2, help="most of them get a transaction now and then")
    parser.add_argument(
        "--sweep-seconds", type=int, default=60, help="0: no sweeps, and no ids of earlier transactions"
    )
    parser.add_argument(
        "--keep", type=Path, help="a folder for the plot, the faults, the samples and the daemons' logs"
    )
    given = parser.parse_args()
    seed = given.seed or str(int(time.time()) % 1_000_000)
    seconds = given.minutes * 60
    plan = Plan(
        seed,
        seconds,
        tuple(schedule(seed, seconds, given.gap_seconds)),
        tables=given.tables,
        rows_per_second=given.rows_per_second,
        sweep_seconds=given.sweep_seconds,
    )
    print(f"soak: seed {seed}, {given.minutes:g} minutes, {len(plan.faults)} faults", flush=True)
    with tempfile.TemporaryDirectory(prefix="snk-soak-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with embedded_pair(Path(folder), user="postgres", password="postgres", options=OPTIONS) as pair:
            soaked = asyncio.run(soak(pair, plan))
    tell(soaked)
    if given.keep:
        keep(soaked, given.keep)
    return 1 if soaked.faults else 0


def keep(soaked: Soaked, folder: Path) -> None:
    """Write all there is to look at into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    plan, happened = soaked.plan, soaked.happened
    title = f"seed {plan.seed}, {plan.seconds / 60:g} minutes, {len(happened)} faults"
    (folder / "soak.svg").write_text(plot(title, soaked.samples, happened))
    lines = [f"{h.began_seconds:8.1f} {h.ended_seconds:8.1f}  {h.kind:20} {h.what}\n" for h in happened]
    (folder / "faults.txt").write_text("".join(lines))
    (folder / "samples.json").write_text(json.dumps([asdict(sample) for sample in soaked.samples]))
    for at, text in enumerate(soaked.logs):
        (folder / f"daemon-{at + 1}.log").write_text(text)


def tell(soaked: Soaked) -> None:
    """The figures, and the verdict in the last line."""
    faults = Counter(fault.kind for fault in soaked.happened)
    verdict = soaked.verdict
    assert verdict
    samples = soaked.samples
    print("faults:", ", ".join(f"{kind} {count}" for kind, count in sorted(faults.items())))
    print(f"overlapping: {overlapping(soaked.happened)} began while the one before lasted")
    print("transactions:", ", ".join(f"{kind} {count}" for kind, count in sorted(soaked.transactions.items())))
    print(f"lost connections of writers: {soaked.writers_errors}")
    print(f"answers lost and committed: {verdict.found}; rows that crashes took back, as they may: {verdict.gone}")
    print("logged:", ", ".join(f"{event} {count}" for event, count in sorted(soaked.log.items())))
    if len(samples) >= 8:
        memory = medians(samples, lambda sample: max(sample.memory_mib.values(), default=0.0))
        holes = medians(samples, lambda sample: sample.holes)
        print("memory of the larger daemon, median of each quarter, MiB:", *(f"{mib:.0f}" for mib in memory))
        print("holes, median of each quarter:", *(f"{count:.0f}" for count in holes))
        for seconds, second, last in lives(samples):
            print(
                f"a daemon that lived {seconds:.0f} s: {second:.0f} MiB in its second quarter, {last:.0f} in its last"
            )
    print(f"settled {soaked.settled_seconds:.0f} s after the end; {verdict.rows} rows on each side")
    for fault in soaked.faults[:20]:
        print(f"  {fault}")
    seed = soaked.plan.seed
    print(f"soak FAILED: {len(soaked.faults)} faults; seed {seed}" if soaked.faults else f"soak passed; seed {seed}")


if __name__ == "__main__":
    sys.exit(main())
