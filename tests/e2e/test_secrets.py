"""A password is nowhere but where it was given: not in a log, an error, a page, or the list of processes."""

import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from snk.db.server import Server
from snk.pair.settings import Settings
from tests.kit.daemons import DaemonProcess, run_snk
from tests.kit.databases import DEADLINE_SECONDS, Database, until

SECRET = "Hush-7:q/w@x y%z#é?&='\""
QUOTED = quote(SECRET, safe="")
TOKEN = "token-Hush-7-token"
PARTS = ("Hush", "hush-7", QUOTED, TOKEN)


def assert_hushed(*texts: str) -> None:
    for text in texts:
        assert not [part for part in PARTS if part in text], text


def with_password(dsn: str, how: str, **changed: str) -> str:
    """The same URL with the secret in it: in its usual place, or as a parameter."""
    parts = urlsplit(dsn)
    address = changed.get("address", f"{parts.hostname}:{parts.port}")
    if how == "login":
        return parts._replace(netloc=f"secretive:{QUOTED}@{address}").geturl()
    return parts._replace(netloc=address, query=f"user=secretive&password={QUOTED}").geturl()


def page(url: str, token: str | None = None) -> str:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return str(error.read().decode())


@pytest.mark.long
async def test_a_running_daemon_keeps_its_secrets(pair: Any) -> None:
    sides = Database(pair.first), Database(pair.second)
    literal = SECRET.replace("'", "''")
    for side in sides:
        await side.run(f"create role secretive superuser login password '{literal}'")
    values = {
        "FIRST_DB_URL": with_password(pair.first, "login"),
        "SECOND_DB_URL": with_password(pair.second, "parameter"),
        "REDIS_URL": f"redis://someone:{QUOTED}@{urlsplit(pair.redis).netloc}/0",
        "SNK_HTTP_TOKEN": TOKEN,
        "SNK_LOG_LEVEL": "debug",
    }
    with DaemonProcess(pair, **values) as daemon:
        await daemon.until_flowing()
        assert page(f"{daemon.url}/status").startswith("missing or wrong bearer token")
        assert_hushed(*(page(f"{daemon.url}{path}", TOKEN) for path in ("/status", "/metrics", "/health")))
        shown = daemon.snk("status")
        assert shown.returncode == 0, shown.stderr
        wrong = run_snk({"SNK_HTTP_TOKEN": f"{TOKEN}-not", "SNK_HTTP_PORT": daemon.url.rpartition(":")[2]}, "status")
        assert wrong.returncode == 2
        assert "Set SNK_HTTP_TOKEN to the daemon's token" in wrong.stderr
        command = Path(f"/proc/{daemon.pid}/cmdline")
        assert_hushed(shown.stdout, wrong.stderr, command.read_text() if command.exists() else "")
        for side in sides:
            await side.run("alter role secretive password 'another'")
        await sides[0].run(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where usename = 'secretive' and datname = current_database()"
        )

        async def said() -> bool:
            return "password authentication failed" in daemon.log

        await until(said, "the refused password in the log")
        assert "redis_lost" in daemon.log, "Redis knows nobody of that name"
        assert_hushed(page(f"{daemon.url}/status", TOKEN), daemon.log)
    for side in sides:
        await side.run("reassign owned by secretive to postgres", "drop role secretive")


@pytest.mark.long
@pytest.mark.parametrize("how", ["login", "parameter"])
def test_errors_keep_secrets(how: str, pair: Any) -> None:
    for address in (None, "127.0.0.1:1", "no-such-host.invalid:5432"):
        changed = {"address": address} if address else {}
        values = {
            "FIRST_DB_URL": with_password(pair.first, how, **changed),
            "SECOND_DB_URL": pair.second,
            "REDIS_URL": f"redis://:{QUOTED}@{address or urlsplit(pair.redis).netloc}/0",
        }
        looked = run_snk(values, "doctor")
        assert looked.returncode == 1
        assert_hushed(looked.stdout, looked.stderr)


def test_what_can_be_printed_of_settings_keeps_secrets() -> None:
    url = f"postgresql://u:{QUOTED}@h/d"
    settings = Settings(
        postgres_password=SECRET,
        first_db_url=url,
        redis_url=f"redis://:{QUOTED}@h",
        snk_http_token=TOKEN,
        _env_file=None,
    )
    assert_hushed(repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json())
    assert_hushed(repr(Server("first", settings.first_dsn)), Server("first", settings.first_dsn).address)
