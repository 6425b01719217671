"""Which process is which: asked of the operating system, so that only our own are ever signalled.

A process number alone says little: the file it was read from may be of last week, and the number somebody else's now.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.01
KILLED_SECONDS = 5.0
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """A process that runs; one that ended and waits for its parent to notice does not."""

    pid: int
    parent: int
    command: str


def process_of(pid: int) -> Process | None:
    """The process of this number, or None if there is none."""
    return _from_proc(pid) if _has_proc() else next(iter(_from_ps("-p", str(pid))), None)


def children_of(pid: int) -> list[int]:
    """The numbers of its children."""
    if _has_proc():
        found: Iterable[Process | None] = (_from_proc(int(path.name)) for path in PROC.iterdir() if path.name.isdigit())
    else:
        found = _from_ps("-A")
    return [process.pid for process in found if process and process.parent == pid]


def is_ours(pid: int, mark: str) -> bool:
    """Whether a process of this number runs and has these words in its command line."""
    process = process_of(pid)
    return process is not None and f" {mark} " in f" {process.command} "


def end_leftover(pid: int, mark: str, how: int, seconds: float) -> bool:
    """End a server that an earlier run left behind, if the process of that number is really one.

    Args:
        pid: what a pid file says; it may be the number of somebody else's process by now.
        mark: what stands in the command line of ours and of no other, as whole words.
        how: the signal to send.
        seconds: how long to wait before SIGKILL.

    Returns:
        Whether it was ours.
    """
    if not is_ours(pid, mark):
        return False
    _signal(pid, how)
    deadline = time.monotonic() + seconds
    while is_ours(pid, mark):
        if time.monotonic() > deadline:
            kill_family(pid)
            break
        time.sleep(POLL_SECONDS)
    return True


def kill_family(pid: int) -> None:
    """SIGKILL a process and its children at one instant, and wait until they are gone.

    PostgreSQL's children would end by themselves, but not before they look up from what they compute; until then they
    hold the cluster, and the next start is refused.
    """
    _signal(pid, signal.SIGSTOP)  # so that it starts no more of them, nor sees them die
    try:
        children = children_of(pid)
    finally:
        _signal(pid, signal.SIGKILL)
    for child in children:
        _signal(child, signal.SIGKILL)
    deadline = time.monotonic() + KILLED_SECONDS
    while any(process_of(each) for each in (pid, *children)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _has_proc() -> bool:
    return (PROC / "self" / "stat").exists()


def _from_proc(pid: int) -> Process | None:
    folder = PROC / str(pid)
    try:
        # The name stands in brackets and may itself hold brackets and spaces; state and parent follow it.
        state, parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
        command = (folder / "cmdline").read_bytes()
    except OSError:  # gone, perhaps between one read and the next
        return None
    if state in "ZX":
        return None
    return Process(pid, int(parent), command.replace(b"\0", b" ").decode(errors="replace").strip())


def _from_ps(*which: str) -> list[Process]:
    """Systems without /proc have ps."""
    command = ["ps", "-ww", "-o", "pid=,ppid=,stat=,command=", *which]
    lines = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout.splitlines()
    parts = [line.split(None, 3) for line in lines]
    return [
        Process(int(pid), int(parent), " ".join(rest))
        for pid, parent, state, *rest in parts
        if not state.startswith("Z")
    ]
