"""The model of many pairs: what it adds up, and where it puts the daemons."""

import random
from pathlib import Path

import pytest

from bench.results import OURS, Result, save
from bench.scale_model import FULL, MINUTES, Costs, Pair, day, drawn, measured, placed

COSTS = Costs((0.01, 0.0001), (0.02, 0.0001), (90.0, 0.25), 3e-6, 12e-6, 280.0)


def test_costs_are_a_base_and_a_part_for_each_table(tmp_path: Path) -> None:
    tables = [
        Result(
            f"{count:,} table{'s' if count > 1 else ''}",
            OURS,
            1,
            {"idle_own_percent": 2 + count / 100, "idle_server_percent": 1.0, "peak_mib": 90 + count / 4},
        )
        for count in (1, 100, 1000)
    ]
    save(tmp_path, "tables", tables)
    rows = [
        Result("rows", name, 1, {"own_cpu": cpu, "server_cpu": 12.0, "wire_bytes": 280.0})
        for name, cpu in ((OURS, 3.0), ("another", 99.0))
    ]
    save(tmp_path, "live", rows)
    costs = measured(tmp_path)
    assert costs.own == pytest.approx((0.02, 0.0001))
    assert costs.server == pytest.approx((0.01, 0.0))
    assert costs.mib == pytest.approx((90.0, 0.25))
    assert (costs.own_per_row, costs.bytes_per_row) == pytest.approx((3e-6, 280.0))


def test_without_measurements_it_says_how_to_measure(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="python -m bench tables live"):
        measured(tmp_path)


def test_pairs_differ_and_come_to_what_was_asked_for() -> None:
    pairs = drawn(1000, 20, 50, random.Random(1))
    assert sum(pair.rows for pair in pairs) == pytest.approx(50_000)
    assert 15_000 < sum(pair.tables for pair in pairs) < 25_000
    assert max(pair.tables for pair in pairs) > 10 * min(pair.tables for pair in pairs)


@pytest.mark.parametrize(("cores", "gib"), [(8, 32.0), (64, 2.0)])
def test_every_daemon_has_a_place_and_no_machine_is_full(cores: int, gib: float) -> None:
    pairs = drawn(500, 20, 50, random.Random(2))
    machines = placed(pairs, COSTS, cores, gib)
    assert sorted(map(repr, pairs)) == sorted(repr(pair) for machine in machines for pair in machine.pairs)
    for machine in machines:
        assert sum(pair.cores(COSTS, pair.rows) for pair in machine.pairs) <= FULL * cores + 1e-6
        assert sum(pair.mib(COSTS) for pair in machine.pairs) <= FULL * gib * 1024 + 1e-6


def test_a_daemon_that_is_too_large_for_a_machine_is_told() -> None:
    with pytest.raises(SystemExit, match="No machine of 1 cores"):
        placed([Pair(10, 10_000_000)], COSTS, 1, 32)


def test_a_daemon_takes_no_more_than_a_core() -> None:
    assert Pair(10, 10_000_000).cores(COSTS, 10_000_000) == 1.0


def test_in_a_day_a_pair_brings_what_it_brings_on_average() -> None:
    pair = Pair(100, 50)
    (machine,) = placed([pair], COSTS, 8, 32)
    used = day(machine, COSTS, random.Random(3))
    assert len(used) == MINUTES
    assert sum(used) / MINUTES == pytest.approx(pair.cores(COSTS, pair.rows), rel=0.1)


def test_transactions_that_come_fast_share_a_batch() -> None:
    slow, fast, faster = (Pair(1, rows, together=1).cores(COSTS, rows) for rows in (1, 100, 200))
    assert slow == pytest.approx(COSTS.own[0] + COSTS.own[1] + COSTS.own_per_batch, rel=0.01)
    assert faster - fast == pytest.approx(100 * COSTS.own_per_row)
