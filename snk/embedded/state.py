"""The state folder: where the embedded servers keep their data, and a lock against a second run in it."""

import fcntl
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snk.embedded.binaries import enterable
from snk.embedded.process import server_account
from snk.errors import ServersUnfit

HINT = "Name another folder with --state"


def default_state() -> Path:
    """``/var/lib/snk`` for root; for everybody else ``$XDG_STATE_HOME/snk`` or ``~/.local/state/snk``."""
    if os.geteuid() == 0:
        return Path("/var/lib/snk")
    if configured := os.environ.get("XDG_STATE_HOME"):
        return Path(configured) / "snk"
    home = os.environ.get("HOME") or _home_of(os.geteuid())
    return Path(home) / ".local" / "state" / "snk"


@contextmanager
def held(state: Path) -> Iterator[Path]:
    """The folder, made if need be, locked for as long as the block runs.

    Raises:
        ServersUnfit: it cannot be made or entered, or another run holds it.
    """
    state = state.absolute()
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ServersUnfit(f"The state folder {state} cannot be used: {error.strerror}", hint=HINT) from error
    try:
        if server_account() and not enterable(state):
            hint = f"Open it and all folders above it to everybody (o+x), or: {HINT[0].lower()}{HINT[1:]}"
            raise ServersUnfit(f"The servers run as nobody and cannot enter {state}", hint=hint)
        _lock(lock, state)
        yield state
    finally:
        os.close(lock)


def _lock(lock: int, state: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
        raise ServersUnfit(f"Servers run in {state} already, started by process {holder}", hint=HINT) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)


def _home_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        raise ServersUnfit("There is no home folder to keep the servers' data in", hint=HINT) from None
