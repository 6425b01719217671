import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType

import pytest

from snk.embedded import process
from snk.embedded.identity import children_of, end_leftover, is_ours, process_of
from snk.embedded.process import Child, free_port, spawn
from snk.errors import ServersUnfit
from tests.embedded.machine import ROOT, gone, wait_until
from tests.kit.databases import DEADLINE_SECONDS
from tests.kit.heirs import HERITAGES, SCRIPT

SPAWNER = """
import signal, sys
from pathlib import Path
from snk.embedded.process import spawn

folder = Path(sys.argv[1])
tell = '''
grep -E "Sig(Blk|Ign)" /proc/self/status; umask; ulimit -Sf; [ $(ulimit -Sn) -ge 4096 ] && echo many files
env; ls /proc/self/fd; echo said; echo done >&2
'''
spawn(["/bin/sh", "-c", tell], folder, folder / "log", None, signal.SIGKILL).wait(60.0)
"""


@contextmanager
def shell(folder: Path, script: str, *arguments: str) -> Iterator[Child]:
    program = shutil.which("sh")
    assert program
    child = spawn([program, "-c", script, *arguments], folder, folder / "log", None, signal.SIGKILL)
    try:
        yield child
    finally:
        child.kill()


def says(child: Child, word: str) -> None:
    wait_until(lambda: word in child.log.read_text(), f"{word} in the log")


def test_ctrl_c_reaches_its_parent_only(tmp_path: Path) -> None:
    with shell(tmp_path, "sleep 600") as child:
        assert os.getsid(child.pid) == child.pid


@contextmanager
def ignoring(number: signal.Signals) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def blocking(number: signal.Signals) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.parametrize("left", [ignoring, blocking])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT])
def test_it_is_told_to_stop_from_its_first_moment(
    tmp_path: Path, left: Callable[[signal.Signals], AbstractContextManager[None]], number: signal.Signals
) -> None:
    program = shutil.which("sleep")  # a shell would catch SIGINT, and forget it where it becomes another program
    assert program
    with left(number):
        child = spawn([program, "600"], tmp_path, tmp_path / "log", None, signal.SIGKILL)
        child.end(number, DEADLINE_SECONDS)
    assert child.exit_code == -number


def test_one_that_is_stopped_is_woken_to_hear(tmp_path: Path) -> None:
    with shell(tmp_path, "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done") as child:
        says(child, "ready")
        child.send(signal.SIGSTOP)
        child.end(signal.SIGTERM, DEADLINE_SECONDS)
        assert child.exit_code == 5


def test_none_is_left_of_one_whose_parent_is_interrupted_while_it_waits(tmp_path: Path) -> None:
    def interrupt(_number: int, frame: FrameType | None) -> None:
        if frame and frame.f_code.co_filename == subprocess.__file__:  # it waits
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with shell(tmp_path, "while kill -USR1 $PPID; do sleep 0.01; done") as child:
            with pytest.raises(KeyboardInterrupt):
                child.wait(DEADLINE_SECONDS)
            assert child.exit_code == -signal.SIGKILL
    finally:
        signal.signal(signal.SIGUSR1, before)


def started_by(folder: Path, *parent: str) -> str:
    """What a program finds that is started by such a parent."""
    folder.mkdir()
    subprocess.run([*parent, sys.executable, "-c", SPAWNER, str(folder)], cwd=ROOT, check=True)
    return (folder / "log").read_text().replace(str(folder), "folder")


def signals_of(found: str, kind: str) -> set[int]:
    """The signals of this kind, but for those that the C library keeps to itself: no program can change them."""
    mask = int(found.split(f"{kind}:\t")[1].split("\n", maxsplit=1)[0], 16)
    return {number for number in signal.valid_signals() if mask >> (number - 1) & 1}


@pytest.mark.skipif(sys.platform != "linux", reason="what a process ignores and blocks is read in /proc")
@pytest.mark.parametrize("heritage", HERITAGES)
def test_a_program_starts_alike_whatever_its_parent_was_left(tmp_path: Path, heritage: str) -> None:
    plain = started_by(tmp_path / "plain")
    assert started_by(tmp_path / "heir", sys.executable, SCRIPT, heritage) == plain
    assert signals_of(plain, "SigIgn") == set()
    assert signals_of(plain, "SigBlk") == set()
    assert plain.endswith("said\ndone\n")


def test_a_program_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ServersUnfit, match="missing cannot be started: No such file or directory"):
        spawn([str(tmp_path / "missing")], tmp_path, tmp_path / "log", None, signal.SIGKILL)


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ServersUnfit, match=r"sh cannot be started in .*missing"):
        spawn(["/bin/sh"], tmp_path / "missing", tmp_path / "log", None, signal.SIGKILL)


def test_one_that_ends_before_it_is_ready_is_said_with_its_last_lines(tmp_path: Path) -> None:
    with (
        shell(tmp_path, "seq 20; exit 3") as child,
        pytest.raises(ServersUnfit, match=r"(?s)sh does not start; .* ends with:\n13\n.*20$"),
    ):
        child.wait_for(lambda: False, DEADLINE_SECONDS)
    assert child.exit_code == 3


def test_one_that_never_gets_ready_is_ended(tmp_path: Path) -> None:
    with shell(tmp_path, "sleep 600 & wait") as child:
        with pytest.raises(ServersUnfit, match="does not start"):
            child.wait_for(lambda: False, 0.0)
        assert child.exit_code == -signal.SIGKILL


def test_one_that_does_not_listen_is_killed_with_its_children(tmp_path: Path) -> None:
    with shell(tmp_path, "trap '' TERM; sleep 600 & echo ready; while :; do wait; done") as child:
        says(child, "ready")
        children = children_of(child.pid)
        assert children
        child.end(signal.SIGTERM, 0.05)
        assert child.exit_code == -signal.SIGKILL
        assert gone(children)


def test_a_leftover_is_ended_and_waited_for(tmp_path: Path) -> None:
    with shell(tmp_path, "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done", "-D", "/x/data") as child:
        says(child, "ready")
        assert end_leftover(child.pid, "-D /x/data", signal.SIGTERM, DEADLINE_SECONDS)
        assert process_of(child.pid) is None
        assert child.exit_code == 5


def test_a_leftover_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    with shell(tmp_path, "trap '' TERM; echo ready; while :; do sleep 0.01; done", "-D", "/x/data") as child:
        says(child, "ready")
        assert end_leftover(child.pid, "-D /x/data", signal.SIGTERM, 0.05)
        assert child.exit_code == -signal.SIGKILL


def test_a_bystander_is_not_signalled(tmp_path: Path) -> None:
    with shell(tmp_path, "trap 'echo hit' TERM; echo ready; sleep 600", "-D", "/x/data2") as child:
        says(child, "ready")
        assert not end_leftover(child.pid, "-D /x/data", signal.SIGTERM, DEADLINE_SECONDS)
        assert child.running
        assert "hit" not in child.log.read_text()


def test_a_process_that_ended_is_none(tmp_path: Path) -> None:
    with shell(tmp_path, "exit 0") as child:
        wait_until(lambda: process_of(child.pid) is None, "the zombie to count as gone")
        assert not is_ours(child.pid, "exit 0")


def test_ports_are_none_that_an_outgoing_connection_may_get() -> None:
    outgoing = Path("/proc/sys/net/ipv4/ip_local_port_range")
    least = int(outgoing.read_text().split()[0]) if outgoing.exists() else 49_152
    if least < 32_768:
        pytest.skip("this system gives all ports to outgoing connections")
    ports = {free_port() for _ in range(50)}
    assert len(ports) > 1
    assert max(ports) < least


def test_a_port_in_use_is_not_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(process, "PORTS", [port])
        with pytest.raises(ServersUnfit, match=f"between {port} and {port} is free"):
            free_port()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere ports are not reserved")
def test_a_port_that_was_given_out_is_its_servers_also_while_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setattr(process, "PORTS", [port])
    for _ in range(2):
        with pytest.raises(ServersUnfit):
            free_port()
        with socket.create_server(("127.0.0.1", port)):
            socket.create_connection(("127.0.0.1", port)).close()
