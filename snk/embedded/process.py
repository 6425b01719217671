"""Starting and ending the servers as child processes, so that none outlives its parent."""

import contextlib
import ctypes
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from snk.errors import ServersUnfit

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.01
LOG_LINES = 8
PLAIN_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Account:
    """The user a server runs as when root starts it: PostgreSQL refuses to be root."""

    uid: int
    gid: int


def server_account() -> Account | None:
    """``nobody`` for root; None for everybody else, who run servers as themselves."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise ServersUnfit("PostgreSQL refuses to run as root", hint="There is to be a user called nobody") from None
    return Account(entry.pw_uid, entry.pw_gid)


class Child:
    """A server that runs as our child."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self._log

    @property
    def exit_code(self) -> int | None:
        """How it ended, or None while it runs."""
        return self._process.poll()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_for(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until it is ready.

        Raises:
            ServersUnfit: it ended, or took too long; with the last lines of its log.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running or time.monotonic() > deadline:
                self.end(signal.SIGKILL, seconds=1.0)
                raise ServersUnfit(f"It does not start; {self._log} ends with:\n{self.last_lines()}")
            time.sleep(POLL_SECONDS)

    def last_lines(self) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_LINES:])

    def end(self, how: int, seconds: float) -> None:
        """Send a signal, wait, and kill it if it has not ended by then."""
        if not self.running:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def spawn(
    command: Sequence[str],
    folder: Path,
    log: Path,
    account: Account | None,
    last_word: int,
    *,
    environment: Mapping[str, str] | None = None,
) -> Child:
    """Start a program in a session of its own, so that Ctrl-C reaches its parent first.

    To be called from the main thread: on Linux ``last_word`` is the signal that the kernel sends the server when the
    *thread* that started it ends, be it by SIGKILL.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment or PLAIN_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_dies_with(os.getpid(), last_word),  # noqa: PLW1509 - it only calls prctl
            **as_user(account),
        )
    return Child(child, log)


class AsUser(TypedDict, total=False):
    """The arguments by which `subprocess` changes to an account."""

    user: int
    group: int
    extra_groups: list[int]


def as_user(account: Account | None) -> AsUser:
    """How to start a process as this account."""
    return AsUser(user=account.uid, group=account.gid, extra_groups=[]) if account else AsUser()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command_of(pid: int) -> str:
    """The command line of a process, or an empty string if there is none."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""
    found = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607 - wherever ps is
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip()


def end_leftover(pid: int, mark: str, how: int, seconds: float) -> bool:
    """End a server that an earlier run left behind, if the process of that number is really one.

    Args:
        pid: what a pid file says; it may be the number of somebody else's process by now.
        mark: what stands in the command line of ours and of no other.
        how: the signal to send.
        seconds: how long to wait before SIGKILL.

    Returns:
        Whether it was ours.
    """
    if mark not in command_of(pid):
        return False
    os.kill(pid, how)
    deadline = time.monotonic() + seconds
    while mark in command_of(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    return True


def _dies_with(parent: int, last_word: int) -> Callable[[], None] | None:
    """What the child does before it becomes the server; only Linux can tie it to its parent."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, last_word)
        if os.getppid() != parent:  # it died before it could be tied
            os._exit(1)

    return tie
