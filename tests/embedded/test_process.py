import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snk.embedded import process
from snk.embedded.identity import children_of, end_leftover, is_ours, process_of
from snk.embedded.process import Child, free_port, spawn
from snk.errors import ServersUnfit
from tests.embedded.machine import gone, wait_until


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


def test_it_hears_signals_that_its_parent_ignores(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with shell(tmp_path, "kill -INT $$; echo deaf") as child, pytest.raises(ServersUnfit):
            child.wait(10.0)
        assert child.exit_code == -signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_program_that_is_missing_is_said(tmp_path: Path) -> None:
    child = spawn([str(tmp_path / "missing")], tmp_path, tmp_path / "log", None, signal.SIGKILL)
    with pytest.raises(ServersUnfit, match="missing cannot be started: No such file or directory"):
        child.wait(10.0)


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ServersUnfit, match=r"sh cannot be started in .*missing"):
        spawn(["/bin/sh"], tmp_path / "missing", tmp_path / "log", None, signal.SIGKILL)


def test_one_that_ends_before_it_is_ready_is_said_with_its_last_lines(tmp_path: Path) -> None:
    with (
        shell(tmp_path, "seq 20; exit 3") as child,
        pytest.raises(ServersUnfit, match=r"(?s)sh does not start; .* ends with:\n13\n.*20$"),
    ):
        child.wait_for(lambda: False, 10.0)
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
        assert end_leftover(child.pid, "-D /x/data", signal.SIGTERM, 10.0)
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
        assert not end_leftover(child.pid, "-D /x/data", signal.SIGTERM, 1.0)
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
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        monkeypatch.setattr(process, "PORTS", [port])
        with pytest.raises(ServersUnfit, match=f"between {port} and {port} is free"):
            free_port()
