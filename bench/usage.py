"""CPU seconds and memory of processes, as Linux counts them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used up to now.

    Attributes:
        own_seconds: of the contender's own processes.
        server_seconds: of all processes of both servers.
        network_bytes: over this machine's loopback, all that anybody sent.
    """

    own_seconds: float
    server_seconds: float
    network_bytes: int

    def since(self, before: "Usage") -> "Usage":
        """What was used in between."""
        return Usage(
            self.own_seconds - before.own_seconds,
            self.server_seconds - before.server_seconds,
            self.network_bytes - before.network_bytes,
        )


def usage(own: Iterable[int], servers: Iterable[int]) -> Usage:
    """Of these processes with all their descendants, the ended ones too."""
    parents = _parents()
    return Usage(
        sum(_family_seconds(pid, parents) for pid in own),
        sum(_family_seconds(pid, parents) for pid in servers),
        _loopback_bytes(),
    )


def peak_mib(pids: Iterable[int]) -> float:
    """The most memory that any of these processes, or of their descendants, had resident, with what it shares."""
    parents = _parents()
    return max((_peak_mib(member) for pid in pids for member in _family(pid, parents)), default=0.0)


def _peak_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0  # it ended just now
    return max((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), default=0.0)


def _family_seconds(pid: int, parents: dict[int, int]) -> float:
    return sum(_seconds(member) for member in _family(pid, parents))


def _family(pid: int, parents: dict[int, int]) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def _seconds(pid: int) -> float:
    """A process and those of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0  # it ended just now; its parent has its time
    return sum(int(field) for field in fields[11:15]) / TICKS


def _parents() -> dict[int, int]:
    found: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    return found


def _loopback_bytes() -> int:
    line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.partition(":")[2].split()[0])
