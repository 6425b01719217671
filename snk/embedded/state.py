"""The state folder: where the embedded servers keep their data, and a lock against a second run in it.

The folder belongs to the user who starts the servers. Inside it each server has its own folder, which belongs to
the account that the server runs as. Logs and pid files are beside these folders, out of reach of that account: root
writes them, so the account must not be able to replace them by links.
"""

import fcntl
import os
import pwd
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snk.embedded.binaries import enterable
from snk.embedded.process import Account, server_account
from snk.errors import ServersUnfit

HINT = "Name another folder with --state"


def default_state() -> Path:
    """``/var/lib/snk`` for root; for all other users ``$XDG_STATE_HOME/snk`` or ``~/.local/state/snk``.

    For a user without a home directory, it is in the folder for temporary files.
    """
    uid = os.geteuid()
    if uid == 0:
        return Path("/var/lib/snk")
    configured = Path(os.environ.get("XDG_STATE_HOME", ""))
    if configured.is_absolute():  # the specification says to ignore relative paths
        return configured / "snk"
    for home in (os.environ.get("HOME", ""), _home_of(uid)):
        if Path(home).is_absolute() and os.access(home, os.W_OK | os.X_OK):
            return Path(home) / ".local" / "state" / "snk"
    return Path(tempfile.gettempdir()) / f"snk-{uid}"


@contextmanager
def held(state: Path) -> Iterator[Path]:
    """The folder, created if necessary, and locked for the duration of the block.

    Yields:
        Its absolute path.

    Raises:
        ServersUnfit: it cannot be created or entered, belongs to another user, or another run holds the lock.
    """
    state = state.absolute()
    account = server_account()
    try:
        _make(state, open_to_all=account is not None)
        _check(state, account)
        lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise ServersUnfit(f"The state folder {state} cannot be used: {error.strerror}", hint=HINT) from error
    try:
        _lock(lock, state)
        yield state
    finally:
        os.close(lock)


def make_server_folder(folder: Path, account: Account | None) -> None:
    """Create the folder of one server, and give it to the account that the server runs as.

    Raises:
        ServersUnfit: it cannot be created.
    """
    try:
        folder.mkdir(exist_ok=True)
        if account:
            os.chown(folder, account.uid, account.gid)
    except OSError as error:
        raise ServersUnfit(f"{folder} cannot be made: {error.strerror}", hint=HINT) from error


def _make(folder: Path, *, open_to_all: bool) -> None:
    """Create a folder and its missing parents; root's umask must not shut out the servers' account."""
    if folder.is_dir():
        return
    _make(folder.parent, open_to_all=open_to_all)
    folder.mkdir(exist_ok=True)
    if open_to_all:
        folder.chmod(0o755)


def _check(state: Path, account: Account | None) -> None:
    owner = state.stat().st_uid
    if owner != os.geteuid():
        hint = f"Run as that user, or: {HINT[0].lower()}{HINT[1:]}"
        raise ServersUnfit(f"The state folder {state} belongs to another user, {owner}", hint=hint)
    if account and not enterable(state):
        hint = f"Make it and all folders above it accessible (chmod o+x), or: {HINT[0].lower()}{HINT[1:]}"
        raise ServersUnfit(f"The servers run as nobody and cannot enter {state}", hint=hint)


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
        return ""
