"""SIGHUP: the settings are read again, and the tables change without a restart; commands know patterns."""

import asyncio
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kit.daemons import DaemonProcess, run_snk
from tests.kit.databases import Database, insert, until, until_equal

COLUMNS = "(id bigserial primary key, uuid uuid not null unique, data text)"


def values_of(pair: Any, **values: str) -> dict[str, str]:
    return {"FIRST_DB_URL": pair.first, "SECOND_DB_URL": pair.second, "REDIS_URL": pair.redis, **values}


async def tables(pair: Any, *names: str) -> tuple[Database, Database]:
    """Both databases, with tables of these names in a schema of their own."""
    both = Database(pair.first), Database(pair.second)
    for side in both:
        await side.run("create schema app", *(f"create table app.{name} {COLUMNS}" for name in names))
    return both


async def until_logged(daemon: DaemonProcess, words: str, count: int = 1) -> None:
    async def logged() -> bool:
        assert daemon.running, daemon.log
        return daemon.log.count(words) >= count

    await until(logged, f"{words} in the log")


async def test_sighup_reads_the_tables_again(pair: Any, tmp_path: Path) -> None:
    first, second = await tables(pair, "a", "b", "audit")
    await first.run(f"create table app.alone {COLUMNS}")
    file = tmp_path / "settings"
    file.write_text("SNK_TABLES=app.a\n")
    with DaemonProcess(pair, SNK_ENV_FILE=str(file)) as daemon:
        await daemon.until_flowing()
        file.write_text("SNK_TABLES=app.*,!app.audit,!app.a\nSNK_BATCH_ROWS=7\n")
        daemon.send(signal.SIGHUP)
        await until_logged(daemon, "table_let_go")
        assert "SNK_BATCH_ROWS" in next(line for line in daemon.log.splitlines() if "restart_needed" in line)
        await insert(first, 5, "app.b")
        await until_equal(first, second, 5, "app.b")
        assert "left out: app.alone: second: there is no table app.alone" in daemon.snk("status").stdout
        for number, text in enumerate(("SNK_TABLES=!app.a\n", "SNK_TABEL=app.a\n", "SNK_TABLES=app.none\n"), start=1):
            file.write_text(text)
            daemon.send(signal.SIGHUP)
            await until_logged(daemon, "settings_refused", number)
        file.write_bytes(b"SNK_TABLES=\xff\n")
        daemon.send(signal.SIGHUP)
        await until_logged(daemon, "settings_refused", 4)
        await insert(second, 5, "app.b")
        await until_equal(first, second, 10, "app.b")
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log


async def test_sighup_is_heard_where_the_parent_blocked_it(pair: Any, tmp_path: Path) -> None:
    first, second = await tables(pair, "a", "b")
    file = tmp_path / "settings"
    file.write_text("SNK_TABLES=app.a\n")
    with DaemonProcess(pair, SNK_ENV_FILE=str(file), heritage="blocked signals") as daemon:
        await until_logged(daemon, "lease_taken")
        file.write_text("SNK_TABLES=app.b\n")
        daemon.send(signal.SIGHUP)
        await insert(first, 5, "app.b")
        await until_equal(first, second, 5, "app.b")
        assert daemon.stop() == 0


TAKES_TERMINAL = """
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("snk", run_name="__main__")
"""


@pytest.mark.parametrize("closes", [True, False])
async def test_it_stops_when_its_terminal_closes_and_not_before(pair: Any, tmp_path: Path, *, closes: bool) -> None:
    """A terminal that closes sends SIGHUP, too."""
    log = tmp_path / "log"
    ours, its = pty.openpty()
    with log.open("ab") as output:
        values = {**os.environ, **values_of(pair, SNK_HTTP_PORT="0")}
        command = [sys.executable, "-c", TAKES_TERMINAL, "run", "--init"]
        child = subprocess.Popen(command, stdin=its, stdout=output, stderr=output, env=values, start_new_session=True)
    os.close(its)

    async def until_it_says(words: str) -> None:
        async def so() -> bool:
            return words in log.read_text()

        await until(so, f"{words} in the log")

    try:
        await until_it_says("flow_started")
        if closes:
            os.close(ours)
        else:
            child.send_signal(signal.SIGHUP)
            await until_it_says("settings_read")
            child.terminate()
        assert await asyncio.to_thread(child.wait) == 0
    finally:
        child.kill()
        child.wait()
        if not closes:
            os.close(ours)
    assert "daemon_stopped" in log.read_text()
    assert ("settings_read" in log.read_text()) != closes


async def test_commands_resolve_patterns(pair: Any) -> None:
    first, _ = await tables(pair, "a", "b", "audit_x")
    values = values_of(pair, SNK_TABLES="app.*,!app.audit_*")
    assert run_snk(values, "init").returncode == 0
    verified = run_snk(values, "verify")
    assert verified.returncode == 0, verified.stderr
    assert [line.partition(":")[0] for line in verified.stdout.splitlines()] == ["app.a", "app.b"]
    assert run_snk(values, "doctor").returncode == 0
    await insert(first, 1, "app.audit_x")
    assert run_snk(values, "plan").returncode == 0
    uuid = str(await first.value("select uuid::text from app.audit_x"))
    assert run_snk(values, "why", uuid).returncode == 1
    await first.run(f"create table app.alone {COLUMNS}")
    for command in ("verify", "plan", "doctor"):
        told = run_snk(values, command)
        assert "app.alone" in told.stdout + told.stderr
        assert "second: there is no table app.alone" in told.stdout + told.stderr
        assert told.returncode == (0 if command == "doctor" else 1)
    nothing = run_snk(values_of(pair, SNK_TABLES="none.*"), "verify")
    assert nothing.returncode == 2
    assert "SNK_TABLES is 'none.*': there is no such table" in nothing.stderr
    malformed = run_snk(values_of(pair, SNK_TABLES="!app.*"), "run")
    assert (malformed.returncode, "only excludes" in malformed.stderr) == (2, True)


async def test_init_grants_what_matches_now_on_each_side(pair: Any) -> None:
    first, second = await tables(pair, "a")
    await first.run(f"create table app.alone {COLUMNS}")
    for side in (first, second):
        await side.run("create role patterned login")
    try:
        values = values_of(pair, SNK_TABLES="app.*")
        printed = run_snk(values, "init", "--print", "--role", "patterned")
        assert "app.alone" in printed.stdout
        assert run_snk(values, "init", "--role", "patterned").returncode == 0
        may = "select has_table_privilege('patterned', 'app.{0}', 'INSERT')"
        assert await first.value(may.format("alone"))
        assert await second.value(may.format("a"))
    finally:
        for side in (first, second):
            await side.run("drop owned by patterned", "drop role patterned")
