import os
import signal
import socket
from pathlib import Path

import pytest

from snk.embedded.identity import children_of
from snk.embedded.postgres import PostgresServer
from snk.embedded.process import server_account
from snk.errors import ServersUnfit
from tests.embedded.machine import as_root, bystander, computing, family_of, gone, query, wait_until


def same_cluster(server: PostgresServer, password: str = "postgres", port: int | None = None) -> PostgresServer:
    """What a later run makes of the same folder."""
    return PostgresServer(server.folder, server.folder.parent, user="postgres", password=password, port=port)


def name_in_pid_file(server: PostgresServer, pid: int) -> None:
    pid_file = server.folder / "data" / "postmaster.pid"
    _, *others = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(pid), *others, ""]))


def test_it_is_reached_over_loopback_only(server: PostgresServer) -> None:
    assert query(server, "show listen_addresses") == "127.0.0.1"
    assert query(server, "show unix_socket_directories") == ""
    assert query(server, "show server_encoding") == "UTF8"
    assert query(server, "select distinct datcollate from pg_database") == "C"


@as_root
def test_root_starts_it_as_nobody(server: PostgresServer) -> None:
    account = server_account()
    assert account
    status = Path(f"/proc/{server.pid}/status").read_text()
    assert f"Uid:\t{account.uid}\t{account.uid}\t{account.uid}" in status
    assert f"Gid:\t{account.gid}\t{account.gid}\t{account.gid}" in status
    assert "Groups:\t \n" in status or "Groups:\t\n" in status


def test_data_and_port_survive_a_restart(server: PostgresServer) -> None:
    query(server, "create table kept as select 1 as value")
    dsn = server.dsn
    server.restart()
    assert server.dsn == dsn
    assert query(server, "select value from kept") == "1"


def test_what_was_committed_survives_a_kill(server: PostgresServer) -> None:
    query(server, "create table committed as select generate_series(1, 1000) as value")
    family = family_of(server.pid)
    server.kill()
    assert not server.running
    assert gone(family)
    server.start()
    assert query(server, "select count(*) from committed") == "1000"


def test_a_kill_ends_a_backend_that_computes(server: PostgresServer) -> None:
    with computing(server) as backend:
        assert backend in children_of(server.pid)
        server.kill()
        assert gone([backend])
    server.start()


def test_starting_twice_changes_nothing(server: PostgresServer) -> None:
    pid = server.pid
    server.start()
    assert server.pid == pid


def test_a_stale_pid_file_hits_no_bystander(server: PostgresServer, place: Path) -> None:
    server.kill()
    with bystander(place) as other:
        name_in_pid_file(server, other.pid)
        server.start()
        assert other.running
        assert query(server, "select 1") == "1"


def test_it_does_not_start_while_an_orphan_works_on_its_data(server: PostgresServer, place: Path) -> None:
    with computing(server) as backend, bystander(place) as other:
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not server.running, "the postmaster to be gone")
        name_in_pid_file(server, other.pid)
        with pytest.raises(ServersUnfit, match="pre-existing shared memory block"):
            server.start()
        os.kill(backend, signal.SIGKILL)
        wait_until(lambda: gone([backend]), "the orphan to be gone")
    server.start()


def test_a_later_run_ends_what_an_earlier_one_left(server: PostgresServer) -> None:
    later = same_cluster(server)
    later.start()
    try:
        assert not server.running
        assert query(later, "select 1") == "1"
    finally:
        later.stop()


def test_another_password_than_the_clusters_is_said_at_the_start(server: PostgresServer) -> None:
    server.stop()
    later = same_cluster(server, password="new")
    with pytest.raises(ServersUnfit, match=r"password authentication failed.* Use the user and password"):
        later.start()
    later.stop()


def test_a_taken_port_is_said_with_the_end_of_the_log(server: PostgresServer) -> None:
    server.stop()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        later = same_cluster(server, port=taken.getsockname()[1])
        with pytest.raises(ServersUnfit, match=r"(?s)only\.log ends with:.*Address already in use"):
            later.start()


def test_a_new_cluster_takes_any_password_and_more_settings(place: Path) -> None:
    torso = place / "first" / "new-1"
    torso.mkdir(parents=True)
    (torso / "PG_VERSION").write_text("18\n")
    options = {"max_prepared_transactions": "7"}
    made = PostgresServer(place / "first", place, user="the owner", password="p@ss/w:rd '%\" ü", options=options)
    made.start()
    try:
        assert query(made, "select current_user") == "the owner"
        assert query(made, "show max_prepared_transactions") == "7"
        assert [path.name for path in made.folder.iterdir()] == ["data"]
    finally:
        made.stop()
    assert not made.running


def test_what_was_not_started_can_be_stopped(place: Path) -> None:
    made = PostgresServer(place / "first", place, user="postgres", password="postgres")
    made.stop()
    made.kill()
    assert not made.running
    with pytest.raises(ServersUnfit, match="was not started"):
        _ = made.pid


def test_a_failing_initdb_tells_why(place: Path) -> None:
    made = PostgresServer(place / "first", place, user="pg_forbidden", password="postgres")
    with pytest.raises(ServersUnfit, match=r"(?s)initdb failed; .*pg_forbidden"):
        made.start()
