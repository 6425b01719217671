"""TST as a process, on real servers."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snk.pair.servers import EmbeddedPair
from tests.kit.databases import DEADLINE_SECONDS, Database, until
from tests.tst.process import TABLE, Start, Summary, wait_for

COUNT = "select count(*) from records"
BOTH = tuple[Database, Database]


async def counts(tables: BOTH) -> tuple[int, int]:
    return await tables[0].value(COUNT), await tables[1].value(COUNT)


async def test_rows_stops_after_exactly_so_many(pair: Any, tables: BOTH, start: Start) -> None:
    summary = Summary.read(start(pair, "--rows", "12345").end())
    assert summary.rows == 12345
    assert (summary.first, summary.second) == await counts(tables)
    assert summary.first
    assert summary.second
    assert summary.rows_per_second == pytest.approx(12345 / summary.seconds, rel=0.1)


@pytest.mark.long
async def test_each_batch_is_one_transaction(pair: Any, tables: BOTH, start: Start) -> None:
    start(pair, "--rows", "1000", "--batch", "300").end()
    query = "select count(*) from records group by xmin::text"
    sizes = [size for database in tables for (size,) in await database.rows(query)]
    assert sorted(sizes) == [100, 300, 300, 300]


@pytest.mark.long
async def test_seed_makes_the_rows_reproducible(pair: Any, tables: BOTH, start: Start) -> None:
    runs = []
    for seed in ("7", "7", "8"):
        start(pair, "--rows", "3500", "--seed", seed).end()
        runs.append([await database.contents() for database in tables])
        for database in tables:
            await database.run("truncate records")
    assert runs[0] == runs[1]
    assert not (runs[0][0] + runs[0][1]) & (runs[2][0] + runs[2][1])


@pytest.mark.long
@pytest.mark.usefixtures("tables")
def test_seed_used_before_is_refused(pair: Any, start: Start) -> None:
    start(pair, "--rows", "2000", "--seed", "7").end()
    again = start(pair, "--rows", "2000", "--seed", "7")
    assert again.end(code=2) == ""
    assert "choose another --seed" in again.stderr


@pytest.mark.usefixtures("tables")
def test_quiet_prints_the_summary_only(pair: Any, start: Start) -> None:
    process = start(pair, "--rows", "10", "--quiet")
    assert Summary.read(process.end()).rows == 10
    assert process.stderr == ""


@pytest.mark.sampled(2)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("heritage", ["", "ignored signals", "blocked signals"])
async def test_a_signal_ends_it_with_an_exact_summary(
    pair: Any, tables: BOTH, start: Start, number: signal.Signals, heritage: str
) -> None:
    process = start(pair, heritage=heritage)
    await until(lambda: tables[0].value(COUNT), "rows in the first")
    process.interrupt(number)
    summary = Summary.read(process.end())
    assert (summary.first, summary.second) == await counts(tables)
    assert summary.in_doubt == 0


@pytest.mark.long
@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_it_survives_a_server_that_restarts(
    own_servers: EmbeddedPair, own_pair: Any, start: Start, mode: Any
) -> None:
    first, second = own_servers.first, own_servers.second
    tables = Database(first.dsn), Database(second.dsn)
    for database in tables:
        await database.run(TABLE)
    process = start(own_pair)
    await until(lambda: tables[0].value(COUNT), "rows in the first")
    first.stop(mode)
    before = await tables[1].value(COUNT)
    await until(lambda: tables[1].value(f"select count(*) > {before + 5000} from records"), "the second loaded on")
    first.start()
    before = await tables[0].value(COUNT)
    await until(lambda: tables[0].value(f"select count(*) > {before + 5000} from records"), "the first back")
    process.interrupt()
    summary = Summary.read(process.end())
    assert (summary.first, summary.second) == await counts(tables)
    said = [line for line in process.stderr.splitlines() if line.startswith("first")]
    assert len(said) == 2, process.stderr
    assert said[0].endswith("its batch is kept and tried again")
    assert said[1].endswith("is back")


@pytest.mark.long
async def test_both_servers_down_is_waited_for(own_servers: EmbeddedPair, own_pair: Any, start: Start) -> None:
    both = own_servers.first, own_servers.second
    tables = Database(both[0].dsn), Database(both[1].dsn)
    for database in tables:
        await database.run(TABLE)
    process = start(own_pair, "--rows", "400000")
    await until(lambda: tables[1].value(COUNT), "rows in the second")
    for server in both:
        server.stop("immediate")
    wait_for(lambda: process.stderr.count("tried again") == 2, "a word about both")
    for server in both:
        server.start()
    summary = Summary.read(process.end())
    assert summary.rows == 400_000
    assert (summary.first, summary.second) == await counts(tables)


@pytest.mark.long
async def test_a_table_that_comes_later_is_waited_for(pair: Any, start: Start) -> None:
    process = start(pair, "--rows", "50")
    wait_for(lambda: "waiting for it" in process.stderr, "a word about the table")
    assert "first (127.0.0.1:" in process.stderr
    for dsn in (pair.first, pair.second):
        await Database(dsn).run(TABLE)
    assert Summary.read(process.end()).rows == 50


@pytest.mark.long
def test_a_table_that_does_not_come_is_trouble(pair: Any, start: Start) -> None:
    process = start(pair, "--wait", "0.1")
    assert process.end(code=2) == ""
    assert "has no table records: create it, for example with `snk init`" in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"DB_PORT": "soon"}, "tst: DB_PORT is 'soon'"),
        ({"FIRST_DB_URL": "mysql://me:geheim@h/x"}, "tst: FIRST_DB_URL has the scheme 'mysql'"),
        ({"FIRST_DB_URL": "postgresql://me:geheim@127.0.0.1:x/y"}, "tst: FIRST_DB_URL cannot be read as a URL"),
        ({"FIRST_DB_URL": "postgresql://me:geheim@127.0.0.1:1/y?sslmode=sometimes"}, "tst: first (127.0.0.1:1/y"),
    ],
)
def test_wrong_setting_is_trouble_without_telling_the_password(
    pair: Any, start: Start, environment: dict[str, str], text: str
) -> None:
    process = start(pair, **environment)
    assert process.end(code=2) == ""
    assert process.stderr.startswith(text)
    assert "geheim" not in process.stderr
    assert len(process.stderr.splitlines()) == 1


@pytest.mark.long
def test_wrong_password_is_trouble_at_once(pair: Any, start: Start) -> None:
    process = start(pair, FIRST_DB_URL=pair.first.replace(":postgres@", ":geheim@"))
    assert process.end(code=2) == ""
    assert "password authentication failed" in process.stderr
    assert "geheim" not in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.long
def test_it_stops_in_time_while_a_server_says_nothing(pair: Any, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/x"
        process = start(pair, FIRST_DB_URL=url)
        silent.settimeout(DEADLINE_SECONDS)
        connection, _ = silent.accept()
        process.interrupt()
        assert Summary.read(process.end()).rows == 0
        connection.close()


@pytest.mark.usefixtures("tables")
def test_terminal_shows_one_live_line(pair: Any, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    urls = {"FIRST_DB_URL": pair.first, "SECOND_DB_URL": pair.second}
    command = [sys.executable, "-m", "tst"]
    environment = {"PATH": os.defpath, "TERM": "xterm", **urls}
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as process:
        os.close(theirs)
        shown = b""
        while not re.search(rb"\r.*[1-9]\d* rows, \d+ rows/s", shown):
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the terminal is gone with the process
            while True:
                shown += os.read(ours, 4096)
        assert process.stdout
        assert Summary.read(process.stdout.read()).rows > 0
    os.close(ours)
    assert shown.count(b"\n") == 1


def test_console_script_is_installed() -> None:
    script = Path(sys.executable).with_name("tst")
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert "--rows" in done.stdout


def test_tst_runs_without_snk() -> None:
    code = "import sys, tst.cli; sys.exit(any(name.split('.')[0] == 'snk' for name in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True)
