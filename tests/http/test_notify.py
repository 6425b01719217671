"""The notifications to systemd, received by a real datagram socket."""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from snk.http.notify import Notifier
from tests.kit.databases import DEADLINE_SECONDS


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(0)
        yield listener


def test_messages_are_those_of_the_protocol(systemd: socket.socket) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": systemd.getsockname()})
    notifier.ready()
    notifier.status("records: 12 rows behind\nsecond line")
    notifier.watchdog()
    notifier.stopping()
    received = [systemd.recv(4096) for _ in range(4)]
    assert received == [b"READY=1", b"STATUS=records: 12 rows behind second line", b"WATCHDOG=1", b"STOPPING=1"]


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux' own")
def test_at_sign_means_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = f"snk-test-{os.getpid()}"
        listener.bind(f"\0{name}")
        listener.settimeout(0)
        Notifier.from_environment({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert listener.recv(4096) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_nothing_is_sent_where_nobody_asked(environment: dict[str, str]) -> None:
    notifier = Notifier.from_environment({**environment, "WATCHDOG_USEC": "1000000"})
    assert notifier == Notifier(address=None, watchdog_seconds=None)
    notifier.ready()


def test_a_socket_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    Notifier.from_environment({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()


def test_a_path_too_long_for_a_socket_does_no_harm(tmp_path: Path) -> None:
    Notifier.from_environment({"NOTIFY_SOCKET": str(tmp_path / ("x" * 200))}).ready()


def test_a_full_queue_holds_the_daemon_up_only_shortly(systemd: socket.socket) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": systemd.getsockname()})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.settimeout(0)
        other.connect(systemd.getsockname())
        with contextlib.suppress(BlockingIOError):
            while other.send(b"STATUS=noise"):
                pass
    started = time.monotonic()
    notifier.watchdog()
    assert time.monotonic() - started < DEADLINE_SECONDS


def test_watchdog_interval_comes_in_seconds() -> None:
    environment = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    assert Notifier.from_environment(environment).watchdog_seconds == 30.0


@pytest.mark.parametrize(
    "watchdog",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
    ],
)
def test_no_watchdog_without_a_valid_interval_meant_for_this_process(watchdog: dict[str, str]) -> None:
    assert Notifier.from_environment({"NOTIFY_SOCKET": "/x", **watchdog}).watchdog_seconds is None
