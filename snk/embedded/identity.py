"""Which process is which: asked of the operating system, so that only our own are ever signalled.

A process number alone says little: the file it was read from may be of last week, and the number somebody else's now.
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
    """A process that runs; one that ended and waits for its parent to notice does not."""

    pid: int
    parent: int
    command: str


def process_of(pid: int) -> Process | None:
    """The process of this number, or None if there is none."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() in ENDED:
                return None
            return Process(pid, process.ppid(), " ".join(process.cmdline()))
    except psutil.NoSuchProcess:  # gone, perhaps between one question and the next
        return None
    except psutil.AccessDenied:  # another user's, on some systems
        return Process(pid, 0, "")


def children_of(pid: int) -> list[int]:
    """The numbers of its children."""
    try:
        children = psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []
    return [child.pid for child in children if process_of(child.pid)]


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
