"""Two daemons as processes: one takes over from the other, killed or asleep, and the sleeper does no harm."""

import json
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.kit.daemons import DaemonProcess
from tests.kit.databases import DEADLINE_SECONDS, Database, insert, until, until_equal


@pytest.fixture
def daemons(pair: Any) -> Iterator[tuple[DaemonProcess, DaemonProcess]]:
    """Two daemons on one pair."""
    with ExitStack() as stack:
        yield (stack.enter_context(DaemonProcess(pair)), stack.enter_context(DaemonProcess(pair)))


def states(daemon: DaemonProcess) -> set[str]:
    """The states of a daemon's flows; none while it does not answer."""
    try:
        with urllib.request.urlopen(f"{daemon.url}/status", timeout=DEADLINE_SECONDS) as answer:
            return {flow["state"] for flow in json.load(answer)["flows"]}
    except OSError:
        return set()


async def the_leader(daemons: tuple[DaemonProcess, DaemonProcess]) -> tuple[DaemonProcess, DaemonProcess]:
    """Who works and who stands by, once that is settled."""
    found: list[DaemonProcess] = []

    async def settled() -> bool:
        found[:] = sorted(daemons, key=lambda daemon: states(daemon) != {"running"})
        return [states(daemon) for daemon in found] == [{"running"}, {"standby"}]

    await until(settled, "one daemon to work and one to stand by")
    return found[0], found[1]


async def until_running(daemon: DaemonProcess) -> None:
    async def running() -> bool:
        return states(daemon) == {"running"}

    await until(running, "the other daemon to take over")


@pytest.mark.long
async def test_when_a_daemon_is_killed_the_other_takes_over(
    pair: Any, daemons: tuple[DaemonProcess, DaemonProcess]
) -> None:
    first, second = Database(pair.first), Database(pair.second)
    leader, other = await the_leader(daemons)
    await insert(first, 100)
    leader.kill()
    await insert(second, 100)
    await until_running(other)
    await until_equal(first, second, 200)
    leader.start()
    await the_leader((other, leader))
    assert states(leader) == {"standby"}


@pytest.mark.long
async def test_a_daemon_that_slept_while_another_took_over_changes_nothing(
    pair: Any, daemons: tuple[DaemonProcess, DaemonProcess]
) -> None:
    first, second = Database(pair.first), Database(pair.second)
    leader, other = await the_leader(daemons)
    await insert(first, 100)
    leader.send(signal.SIGSTOP)
    await insert(second, 100)
    await insert(first, 100)
    await until_running(other)
    await until_equal(first, second, 300)
    leader.send(signal.SIGCONT)

    async def standing_by() -> bool:
        return states(leader) == {"standby"}

    await until(standing_by, "the sleeper to stand by")
    assert [await side.value("select epoch from snk.marks") for side in (first, second)] == [2, 2]
    assert states(other) == {"running"}
    await insert(second, 100)
    await until_equal(first, second, 400)
    assert "lease_lost" in leader.log or "lease_ended" in leader.log


def gauges(daemon: DaemonProcess, name: str) -> list[float]:
    with urllib.request.urlopen(f"{daemon.url}/metrics", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return [sample.value for family in families for sample in family.samples if sample.name == name]


@pytest.mark.long
async def test_a_healthy_standby_wakes_nobody(own_pair: Any, own_servers: Any) -> None:
    """An alert on `snk_flow_running` or `snk_healthy` is for rows that do not flow, on whichever daemon."""
    with DaemonProcess(own_pair) as one, DaemonProcess(own_pair) as two:
        working, asleep = await the_leader((one, two))
        for daemon, standby in ((working, 0), (asleep, 1)):
            assert gauges(daemon, "snk_flow_running") == [1, 1]
            assert gauges(daemon, "snk_flow_standby") == [standby, standby]
            assert gauges(daemon, "snk_healthy") == [1]
        own_servers.second.stop("immediate")
        own_servers.first.stop("immediate")
        for daemon in (working, asleep):

            async def alarmed(daemon: DaemonProcess = daemon) -> bool:
                return gauges(daemon, "snk_flow_running") == [0, 0] and gauges(daemon, "snk_healthy") == [0]

            await until(alarmed, "an alarm")


@pytest.mark.long
async def test_a_daemon_that_stands_by_does_not_fall_behind(daemons: tuple[DaemonProcess, DaemonProcess]) -> None:
    _, other = await the_leader(daemons)

    async def in_step() -> bool:
        with urllib.request.urlopen(f"{other.url}/status", timeout=DEADLINE_SECONDS) as answer:
            told = json.load(answer)
        return max(flow["lag_seconds"] for flow in told["flows"]) < told["uptime_seconds"] / 4

    await until(in_step, "a standby that claims no lag, for it has none of its own")
