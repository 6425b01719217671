"""Identifies processes through the operating system, so that only SNK's own processes are ever signalled.

A process id alone proves little: the file that contains it may be a week old, and another process may have the id now.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass

import psutil

POLL_SECONDS = 0.01
KILLED_SECONDS = 5.0
ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


@dataclass(frozen=True, slots=True)
class Process:
    """A running process; one that has ended and waits for its parent to collect it does not count."""

    pid: int
    parent: int
    command: str


def process_of(pid: int) -> Process | None:
    """The process with this id, or None if there is none."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() in ENDED:
                return None
            return Process(pid, process.ppid(), " ".join(process.cmdline()))
    except psutil.NoSuchProcess:  # it has ended, perhaps between two queries
        return None
    except psutil.AccessDenied:  # another user's process, on some systems
        return Process(pid, 0, "")


def children_of(pid: int) -> list[int]:
    """The process ids of its children."""
    try:
        children = psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []
    return [child.pid for child in children if process_of(child.pid)]


def is_ours(pid: int, mark: str) -> bool:
    """Whether a process with this id runs and its command line contains ``mark``."""
    process = process_of(pid)
    return process is not None and f" {mark} " in f" {process.command} "


def end_leftover(pid: int, mark: str, how: int, seconds: float) -> bool:
    """End a server that an earlier run left behind, if the process with this id really is one.

    Args:
        pid: the id from a pid file; by now another process may have it.
        mark: whole words that only the command line of our server contains.
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

    PostgreSQL's children would exit by themselves, but only after their current computation. Until then they hold the
    cluster, and the next start is refused.
    """
    _signal(pid, signal.SIGSTOP)  # so that it neither starts more children nor sees them die
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
