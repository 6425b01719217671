from pathlib import Path

import pytest

from snk.embedded.process import server_account
from snk.embedded.valkey import ValkeyServer
from snk.errors import ServersUnfit
from tests.embedded.machine import as_root, ask, bystander


def test_it_answers_and_forgets_when_restarted(valkey: ValkeyServer) -> None:
    assert ask(valkey.port, "SET key value", "DBSIZE") == ["+OK", ":1"]
    dsn = valkey.dsn
    valkey.restart()
    assert valkey.dsn == dsn
    assert ask(valkey.port, "DBSIZE") == [":0"]


def test_it_keeps_nothing_on_disk(valkey: ValkeyServer) -> None:
    ask(valkey.port, "SET key value")
    valkey.stop()
    assert list(valkey.folder.iterdir()) == []


def test_it_starts_again_after_a_kill(valkey: ValkeyServer) -> None:
    valkey.kill()
    assert not valkey.running
    valkey.start()
    assert ask(valkey.port, "PING") == ["+PONG"]


@as_root
def test_root_starts_it_as_nobody(valkey: ValkeyServer) -> None:
    account = server_account()
    assert account
    assert Path(f"/proc/{valkey.pid}").stat().st_uid == account.uid


def test_somebody_else_on_its_port_is_not_taken_for_it(valkey: ValkeyServer) -> None:
    late = ValkeyServer(valkey.folder.with_name("late"), valkey.folder.parent)
    late.port = valkey.port
    with pytest.raises(ServersUnfit, match=r"(?s)late\.log ends with:.*Address already in use"):
        late.start()
    assert ask(valkey.port, "PING") == ["+PONG"]


def test_a_stale_pid_file_hits_no_bystander(place: Path) -> None:
    server = ValkeyServer(place / "redis", place)
    with bystander(place) as other:
        (place / "redis.pid").write_text(str(other.pid))
        server.start()
        server.stop()
        assert other.running


@pytest.mark.parametrize("content", ["", "rubbish", str(2**22 + 1)])
def test_a_pid_file_without_a_process_is_nothing(place: Path, content: str) -> None:
    (place / "redis.pid").write_text(content)
    server = ValkeyServer(place / "redis", place)
    server.start()
    server.stop()


def test_a_later_run_ends_what_an_earlier_one_left(valkey: ValkeyServer) -> None:
    later = ValkeyServer(valkey.folder, valkey.folder.parent)
    later.start()
    try:
        assert not valkey.running
        assert ask(later.port, "PING") == ["+PONG"]
    finally:
        later.stop()
