"""CPU seconds and memory of processes, and bytes over the loopback interface."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources used so far.

    Attributes:
        own_seconds: of the contender's own processes.
        server_seconds: of all processes of both servers.
        network_bytes: over this machine's loopback interface, sent by any process.
    """

    own_seconds: float
    server_seconds: float
    network_bytes: int

    def since(self, before: "Usage") -> "Usage":
        """The resources used in between."""
        return Usage(
            self.own_seconds - before.own_seconds,
            self.server_seconds - before.server_seconds,
            self.network_bytes - before.network_bytes,
        )


def usage(own: Iterable[int], servers: Iterable[int]) -> Usage:
    """The resources that these processes and their descendants have used, including descendants that have ended."""
    return Usage(_seconds(own), _seconds(servers), psutil.net_io_counters(pernic=True)["lo"].bytes_sent)


def peak_mib(pids: Iterable[int]) -> float:
    """The peak resident memory of any of these processes or their descendants, including shared memory."""
    return max((_peak_mib(member) for member in _families(pids)), default=0.0)


def _seconds(pids: Iterable[int]) -> float:
    seconds = 0.0
    for member in _families(pids):
        with suppress(psutil.NoSuchProcess):  # it ended just now; its CPU time is counted in its parent
            times = member.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def _peak_mib(process: psutil.Process) -> float:
    """The peak that Linux keeps; psutil does not read it."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return 0.0  # it ended just now
    return max((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), default=0.0)


def _families(pids: Iterable[int]) -> Iterator[psutil.Process]:
    """These processes and all their descendants."""
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            yield process
            yield from process.children(recursive=True)
