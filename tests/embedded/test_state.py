import os
import re
import tempfile
from pathlib import Path

import pytest

from snk.embedded.binaries import enterable
from snk.embedded.process import server_account
from snk.embedded.state import default_state, held
from snk.errors import ServersUnfit
from tests.embedded.machine import as_root

WITHOUT_ENTRY = 54321


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A user without an entry in passwd, and with nothing in the environment."""
    monkeypatch.setattr(os, "geteuid", lambda: WITHOUT_ENTRY)
    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_user_keeps_it_at_home(user: pytest.MonkeyPatch, tmp_path: Path) -> None:
    user.setenv("HOME", str(tmp_path))
    assert default_state() == tmp_path / ".local/state/snk"


def test_a_user_may_keep_all_state_elsewhere(user: pytest.MonkeyPatch, tmp_path: Path) -> None:
    user.setenv("HOME", "/elsewhere")
    user.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_state() == tmp_path / "snk"


@pytest.mark.parametrize("home", [None, "", "relative", "/does/not/exist"])
def test_a_user_without_a_home_has_a_temporary_one(user: pytest.MonkeyPatch, home: str | None) -> None:
    user.setenv("XDG_STATE_HOME", "relative")
    if home is not None:
        user.setenv("HOME", home)
    assert default_state() == Path(tempfile.gettempdir()) / f"snk-{WITHOUT_ENTRY}"


def test_root_keeps_it_where_services_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_state() == Path("/var/lib/snk")


def test_a_second_run_is_refused_and_told_who_holds_it(place: Path) -> None:
    with held(place), pytest.raises(ServersUnfit, match=f"{re.escape(str(place))} already.* process {os.getpid()}"):
        held(place).__enter__()
    with held(place) as again:
        assert again == place


@pytest.mark.parametrize("where", ["/proc/snk/state", "/dev/null/state"])
def test_a_place_that_cannot_be_written_is_said(where: str) -> None:
    with pytest.raises(ServersUnfit, match=f"{where} cannot be used: .*--state"):
        held(Path(where)).__enter__()


def test_a_relative_folder_is_made_absolute(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    with held(Path("here")) as state:
        assert state == place / "here"


@as_root
def test_roots_umask_does_not_shut_the_servers_out(place: Path) -> None:
    before = os.umask(0o077)
    try:
        with held(place / "a" / "b") as state:
            assert enterable(state)
    finally:
        os.umask(before)


@as_root
def test_a_folder_the_servers_cannot_enter_is_refused(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ServersUnfit, match=r"nobody and cannot enter .*o\+x"):
        held(closed / "state").__enter__()


@as_root
def test_a_folder_of_somebody_else_is_refused(place: Path) -> None:
    account = server_account()
    assert account
    os.chown(place, account.uid, account.gid)
    with pytest.raises(ServersUnfit, match=f"belongs to another user, {account.uid}"):
        held(place).__enter__()
