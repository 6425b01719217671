"""PgBouncer between SNK and a server: a session of one's own will do, a shared one is refused with a word."""

import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from snk.db.server import Server
from snk.embedded.process import free_port, server_account
from snk.errors import DatabaseUnfit
from snk.pair.doctor import examine
from snk.pair.sync.link import check_pair
from snk.pair.sync.pair import Pair
from tests.kit.daemons import run_snk
from tests.kit.databases import Database, until
from tests.pair.sync.faults import daemon_over, goes_on, until_running

PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed on this machine")


@contextmanager
def pooled(dsn: str, mode: str) -> Iterator[str]:
    """A PgBouncer before one server; yields the URL by way of it."""
    there, port = urlsplit(dsn), free_port()
    with tempfile.TemporaryDirectory(prefix="snk-pgbouncer-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        (folder / "ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={there.port} user=postgres password=postgres\n"
            f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\npool_mode={mode}\n"
            "auth_type=any\n"
        )
        account = server_account()
        user = ["-u", pwd.getpwuid(account.uid).pw_name] if account else []
        assert PROGRAM
        process = subprocess.Popen([PROGRAM, "-q", *user, folder / "ini"], stderr=subprocess.DEVNULL)
        try:
            yield dsn.replace(f":{there.port}", f":{port}")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


async def listening(dsn: str) -> None:
    """Wait until somebody takes connections there."""

    async def taken() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", urlsplit(dsn).port or 0), 1):
            return True
        return False

    await until(taken, "pgbouncer")


async def test_rows_cross_through_a_pooler_in_session_mode(pair: Any, first: Database, second: Database) -> None:
    with pooled(pair.second, "session") as by_way:
        await listening(by_way)
        async with daemon_over(pair.first, by_way, pair.redis) as daemon:
            await until_running(daemon)
            await goes_on(daemon, first, second, 0)


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_a_pooler_that_shares_sessions_is_refused(pair: Any, mode: str) -> None:
    with pooled(pair.second, mode) as by_way:
        await listening(by_way)
        first, second = Server("first", pair.first), Server("second", by_way)
        with pytest.raises(DatabaseUnfit, match="SNK needs a connection of its own"):
            await check_pair(first, second, ("records",))
        found = [finding async for finding in examine(Pair(first, second, ("records",)), pair.redis)]
        assert [f.subject for f in found if f.level == "error" and "pooler in session mode" in f.advice] == ["second"]


@pytest.mark.parametrize("command", ["run", "verify"])
async def test_a_command_ends_with_two_where_sessions_are_shared(pair: Any, command: str) -> None:
    with pooled(pair.second, "transaction") as by_way:
        await listening(by_way)
        values = {"FIRST_DB_URL": pair.first, "SECOND_DB_URL": by_way, "REDIS_URL": pair.redis}
        ended = run_snk({**values, "SNK_HTTP_PORT": str(free_port())}, command)
        assert ended.returncode == 2
        assert "session mode" in ended.stdout + ended.stderr
