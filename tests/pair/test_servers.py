import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from snk.embedded.identity import children_of, kill_family, process_of
from snk.embedded.process import server_account
from snk.errors import ServersUnfit
from snk.pair.servers import EmbeddedPair, embedded_pair
from tests.embedded.machine import (
    ROOT,
    as_root,
    family_of,
    gone,
    packages,
    python_for_nobody,
    query,
    wait_until,
)
from tests.kit.databases import DEADLINE_SECONDS

HOLDER = """
import json, sys
from pathlib import Path
from snk.pair.servers import embedded_pair
from snk.embedded.state import default_state

state = Path(sys.argv[1]) if sys.argv[1:] else default_state()
with embedded_pair(state, user="postgres", password="postgres") as pair:
    servers = (pair.first, pair.second, pair.redis)
    print(json.dumps({"state": str(pair.state), "pids": [server.pid for server in servers]}), flush=True)
    sys.stdin.read()
"""


def family(pair: EmbeddedPair) -> list[int]:
    return [pid for server in (pair.first, pair.second, pair.redis) for pid in family_of(server.pid)]


def test_a_second_run_in_its_folder_is_refused(servers: EmbeddedPair) -> None:
    refused = embedded_pair(servers.state, user="postgres", password="postgres")
    with pytest.raises(ServersUnfit, match=f"Servers run in {servers.state} already, started by process {os.getpid()}"):
        refused.__enter__()
    assert servers.first.running


def test_all_servers_are_gone_after_the_block(place: Path) -> None:
    with embedded_pair(place / "any 'name\" {of} ünix %p", user="postgres", password="postgres") as pair:
        pids = family(pair)
        assert query(pair.first, "select system_identifier from pg_control_system()") != query(
            pair.second, "select system_identifier from pg_control_system()"
        )
    assert len(pids) > 10
    assert gone(pids)


def test_none_is_left_when_one_does_not_start(place: Path) -> None:
    (place / "second").write_text("a file in the way")
    with pytest.raises(ServersUnfit, match="second cannot be made"):
        embedded_pair(place, user="postgres", password="postgres").__enter__()
    assert not (place / "first/data/postmaster.pid").exists()


@pytest.mark.long
def test_none_is_left_when_the_parent_is_killed_and_the_next_run_goes_on(place: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(place)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        pids = json.loads(parent.stdout.readline())["pids"]
        everybody = [member for pid in pids for member in family_of(pid)]
        assert sorted(children_of(parent.pid)) == sorted(pids)
        parent.kill()
        parent.wait(DEADLINE_SECONDS)
        try:
            wait_until(lambda: gone(everybody), "the servers to be gone")
        finally:
            for pid in filter(process_of, pids):
                kill_family(pid)
    with embedded_pair(place, user="postgres", password="postgres") as pair:
        assert query(pair.first, "select 1") == "1"


@as_root
def test_an_ordinary_user_with_an_empty_home_needs_nothing_else(place: Path) -> None:
    account = server_account()
    assert account
    os.chown(place, account.uid, account.gid)
    with subprocess.Popen(
        [python_for_nobody(), "-c", HOLDER],
        cwd=place,
        env={"HOME": str(place), "PYTHONPATH": packages(), "PYTHONDONTWRITEBYTECODE": "1"},
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout
        told = json.loads(parent.stdout.readline())
        assert told["state"] == str(place / ".local/state/snk")
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in told["pids"]} == {account.uid}
        parent.communicate()
    assert parent.returncode == 0
    assert gone(told["pids"])
