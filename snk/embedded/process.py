"""Starts and ends the servers as child processes, so that none outlives its parent."""

import contextlib
import os
import pwd
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from snk.embedded import tied
from snk.embedded.identity import POLL_SECONDS, kill_family
from snk.errors import ServersUnfit

GIVE_UP_SECONDS = 5.0
# From the fork to the program: the time in which an interpreter starts and does little else.
TAKE_OVER_SECONDS = 60.0
LOG_LINES = 8
PORTS = range(10_000, 32_768)
PORTS_TRIED = 100
PLAIN_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a server runs as when root starts it: PostgreSQL refuses to run as root."""

    uid: int
    gid: int


def server_account() -> Account | None:
    """``nobody`` for root; None for all other users, who run servers as themselves."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise ServersUnfit("PostgreSQL refuses to run as root", hint="Create a user called nobody") from None
    return Account(entry.pw_uid, entry.pw_gid)


class Child:
    """A program that runs as a child of this process.

    Attributes:
        name: of the program.
        log: the file that receives its output; the null device if it writes where this process does.
    """

    def __init__(self, process: subprocess.Popen[bytes], name: str, log: Path, last_word: int) -> None:
        self.name = name
        self.log = log
        self._process = process
        self._last_word = last_word

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while the program runs."""
        return self._process.poll()

    @property
    def running(self) -> bool:
        """Whether the program has not ended."""
        return self._process.poll() is None

    def wait(self, seconds: float) -> None:
        """Wait until the program has ended successfully.

        Raises:
            ServersUnfit: it failed, or took too long; with the last lines of its log.
        """
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        except BaseException:  # Ctrl-C: nothing waits for the program any more
            self.end(self._last_word, GIVE_UP_SECONDS)
            raise
        if self.exit_code != 0:
            self._fail("failed")

    def wait_for(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until the program is ready.

        Raises:
            ServersUnfit: it ended, or took too long; with the last lines of its log.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running or time.monotonic() > deadline:
                self._fail("does not start")
            time.sleep(POLL_SECONDS)

    def last_lines(self) -> str:
        """The last lines of the program's log."""
        return "\n".join(self.log.read_text("utf-8", errors="replace").splitlines()[-LOG_LINES:])

    def send(self, number: int) -> None:
        """Send the program a signal, if it has not ended."""
        if self.running:
            self._process.send_signal(number)

    def end(self, how: int, seconds: float) -> None:
        """Send a signal, wait until the program has ended, and kill it if that takes longer than ``seconds``.

        The signal is not lost: the program receives it (see `spawn`), and a stopped program is continued.
        """
        if not self.running:
            return
        self._process.send_signal(how)
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL the program and its children, and wait until they are gone: a crash, to which none can react."""
        if self.running:
            kill_family(self.pid)
            self._process.wait()

    def _fail(self, how: str) -> None:
        self.end(self._last_word, GIVE_UP_SECONDS)
        raise ServersUnfit(f"{self.name} {how}; {self.log} ends with:\n{self.last_lines()}")


def spawn(
    command: Sequence[str],
    folder: Path,
    log: Path | None,
    account: Account | None,
    last_word: int,
    *,
    environment: Mapping[str, str] = PLAIN_ENVIRONMENT,
) -> Child:
    """Start a program in its own session, so that Ctrl-C reaches its parent first, and wait until it runs.

    It starts from a known state (`snk.embedded.tied`). When this returns, the program has taken over: a signal sent
    from then on meets its handler, or ends it.

    Call this from the main thread: on Linux the kernel sends ``last_word`` to the program when the *thread* that
    started it ends, even by SIGKILL. On other systems nothing ties it to its parent, and the next run ends it.

    Args:
        command: the program, by its full path, and its arguments.
        folder: its working directory.
        log: the file to which its output is appended; the account need not be able to open it. None: it writes to
            standard error, as this process does.
        account: the user it runs as, if not the current one.
        last_word: the signal that ends it when its parent is gone, or gives up on it.
        environment: all its variables.

    Raises:
        ServersUnfit: it cannot be started.
    """
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    tie = [sys.executable, "-I", "-S", tied.__file__, *(str(int(n)) for n in (last_word, os.getpid(), uid, gid))]
    try:
        process = _popen([*tie, *command], folder, log, environment)
    except OSError as error:
        raise ServersUnfit(f"{command[0]} cannot be started in {folder}: {error}") from error
    _wait_until_taken_over(process, command[0])
    return Child(process, Path(command[0]).name, log or Path(os.devnull), last_word)


def _wait_until_taken_over(process: subprocess.Popen[bytes], program: str) -> None:
    trouble = "the start was broken off"
    try:
        trouble = _until_taken_over(process)
    finally:
        if trouble:
            process.kill()
            process.wait()
    if trouble:
        raise ServersUnfit(f"{program} cannot be started: {trouble}")


def _popen(
    command: Sequence[str], folder: Path, log: Path | None, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    with log.open("ab") if log else contextlib.nullcontext() as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )


def _until_taken_over(process: subprocess.Popen[bytes]) -> str:
    """Wait until the program has replaced `tied`, which closes the pipe, or has failed to.

    Returns:
        Why it could not be started; an empty string if it was, or if the process ended without a message.
    """
    assert process.stdout  # noqa: S101 - it is a pipe
    with process.stdout as pipe:
        changes = select.poll()
        changes.register(pipe, select.POLLIN)
        if not changes.poll(TAKE_OVER_SECONDS * 1000):
            return f"nothing happened for {TAKE_OVER_SECONDS:.0f} s"
        return pipe.read().decode(errors="replace")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now, for a server that listens with SO_REUSEADDR, as these servers do.

    On Linux the port is reserved as long as this process lives: no other process gets it before the server listens, or
    while it is down. It is outside the range for outgoing connections (from 32768 on Linux, from 49152 elsewhere),
    which could otherwise take it.
    """
    for _ in range(PORTS_TRIED):
        port = secrets.choice(PORTS)
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if sys.platform == "linux":
                # Only now: a bound socket with this option admits other sockets that have it, and rejects all others.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                os.dup(probe.fileno())  # deliberately never closed
            return port
    raise ServersUnfit(f"None of {PORTS_TRIED} ports of 127.0.0.1 between {PORTS[0]} and {PORTS[-1]} is free")
