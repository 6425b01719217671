"""The demo: it shows what it should, fails where it should, and leaves nothing behind."""

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from rich.console import Console

from snk.board import Board
from snk.db.server import Server
from snk.embedded.postgres import PostgresServer
from snk.embedded.programs import until
from snk.embedded.temporary import PASSWORD
from snk.pair.servers import EmbeddedPair
from snk.pipeline.demo import faults, tables
from snk.pipeline.demo.run import Result, prove
from snk.pipeline.demo.script import HOUR, MINUTE, Script
from snk.pipeline.demo.stage import DATABASES, PULL, PUSH, RS, SS, Stage, opened
from snk.pipeline.demo.watch import Watch
from snk.pipeline.frame import Grid, moment
from tests.conftest import psql
from tests.kit.databases import DEADLINE_SECONDS

DEMO = [sys.executable, "-m", "snk", "pipeline", "demo"]
SHORT = ["--hours", "3", "--seconds", "10"]
CHANGE = sa.update(tables.RECORD).where(tables.RECORD.c.uid == "past-0-0").values(note="changed")


@pytest.mark.long
def test_both_databases_are_proven_equal_after_all_faults() -> None:
    done = subprocess.run([*DEMO, *SHORT, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert (told["equal"], told["amiss"]) == (True, [])
    assert told["frames"] == told["verified"] >= 180
    assert told["late"] >= 20
    assert told["doubled"] > 0
    assert told["ambiguous"] > 0, "answers were lost"
    assert set(told["effects"]) == {
        *(f"{name} killed" for name in ("pull", "push", SS, RS)),
        *(f"{name} network {how}" for name in (SS, RS) for how in ("silenced", "cut")),
    }
    assert len(told["digests"]) == 2
    assert len(set(told["digests"].values())) == 1


@pytest.mark.full
def test_a_row_that_is_changed_in_the_receiving_database_fails_the_demo(servers: EmbeddedPair) -> None:
    with subprocess.Popen([*DEMO, *SHORT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert any("all frames are done" in line for line in process.stdout)
        change(servers.first, port_of_database(process.pid))
        output = process.stdout.read()
    assert process.returncode == 1, output
    assert re.search(
        r"^! verify finds that 1 frame differ \(1 \*\), such as: \* \S+ as many are ", output, re.MULTILINE
    )
    assert "! the digests of both servers differ" in output
    assert "! the receiving database has other values of 1 record, such as past-0-0" in output


def port_of_database(demo: int) -> str:
    """The port of the database server that a demo has started."""
    for pid in children(demo):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        if ports := [word for word in words if word.startswith("port=")]:
            return ports[0].removeprefix("port=")
    raise AssertionError


def change(server: PostgresServer, port: str) -> None:
    """Change a row of the receiving database with PostgreSQL's own client."""
    address = ["-h", "127.0.0.1", "-p", port, "-U", "postgres", "-d", DATABASES[RS]]
    statement = "update records set note = 'changed' where uid = 'past-0-0'"
    subprocess.run(
        [server.executable("psql"), "-qX", *address, "-c", statement],
        check=True,
        env={**os.environ, "PGPASSWORD": PASSWORD},
    )


@pytest.mark.long
def test_nothing_is_left_when_it_is_stopped(place: Path) -> None:
    number = random.choice((signal.SIGINT, signal.SIGTERM))
    environment = {**os.environ, "TMPDIR": str(place)}
    with subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        assert any("pull and push work" in line for line in process.stdout)
        left = children(process.pid)
        process.send_signal(number)
        process.communicate()
    assert process.returncode == 130
    assert len(left) == 5
    for child in left:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    assert not list(place.iterdir())


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def script() -> Script:
    """An hour of frames that are all over, and not looked at again."""
    base = int(time.time()) - HOUR - 2 * MINUTE
    return Script(Grid(base, MINUTE), HOUR // MINUTE, 1000.0)


@pytest.fixture
def databases(servers: EmbeddedPair) -> Iterator[PostgresServer]:
    yield servers.first
    for name in DATABASES.values():
        psql(servers.first, f"drop database {name} with (force)")


@pytest.fixture
async def stage(databases: PostgresServer, place: Path, script: Script) -> AsyncIterator[Stage]:
    """A stage whose pipeline has brought over an hour."""
    async with opened(place, databases) as made:
        await tables.fill(made.ends[SS].url, script.grid, script.frames)
        await made.begin(script)
        watch = Watch(made.space(script))

        async def idle() -> bool:
            # The files are done before push says so.
            return await watch.all_done(script.frames, 0) and not watch.status.push.in_flight

        assert await until(idle, DEADLINE_SECONDS), watch.status
        yield made


async def proven(stage: Stage, script: Script) -> Result:
    result = Result()
    await prove(stage, script, Board(Console(file=io.StringIO()), None, 1.0), result)
    return result


@pytest.mark.long
async def test_a_proof_that_holds_is_found_and_one_that_is_broken_is_found_broken(stage: Stage, script: Script) -> None:
    result = await proven(stage, script)
    assert result.amiss == []
    assert result.verified == script.frames
    assert result.digests[SS] == result.digests[RS]

    async with Server("database", stage.ends[RS].url).begin() as connection:
        await connection.execute(CHANGE)
    result = await proven(stage, script)
    assert result.digests[SS] != result.digests[RS]
    frame = script.grid.iso(0)
    assert result.amiss == [
        f"verify finds that 1 frame differ (1 *), such as: * {frame} as many are in the database, and others",
        "the digests of both servers differ",
        "the receiving database has other values of 1 record, such as past-0-0",
    ]
    assert result.document["equal"] is False
    assert await stage.processes.stop(PULL) == 0


async def test_a_fault_that_had_no_effect_is_amiss(
    stage: Stage, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "NOTICE_SECONDS", 0.5)
    board = Board(Console(file=io.StringIO()), None, 1.0)
    idle = faults.Faults(stage, Watch(stage.space(script)), board)
    await idle._kill_worker(PUSH)
    await idle._start_worker(PUSH)
    await idle._cut(RS)
    assert idle.effects == {}
    assert idle.amiss == [
        "push had nothing to do when it was killed",
        "this fault had no effect: push killed",
        "this fault had no effect: receiving-server network cut",
    ]


ROW = tables.Row(moment(0), None, "é")


@pytest.mark.parametrize(
    ("received", "told"),
    [
        ({"a": ROW, "b": ROW}, []),
        ({"a": ROW}, ["the receiving database lacks 1 record, such as b"]),
        ({"a": ROW, "b": ROW, "c": ROW}, ["the receiving database has 1 record that the sending one lacks, such as c"]),
        ({"a": ROW, "b": ROW._replace(note="e")}, ["the receiving database has other values of 1 record, such as b"]),
    ],
)
def test_databases_that_differ_are_told_apart_row_by_row(received: dict[str, tables.Row], told: list[str]) -> None:
    assert tables.difference({"a": ROW, "b": ROW}, received) == told


def test_records_of_the_past_lie_on_the_edges_of_their_frames() -> None:
    grid = Grid(0, MINUTE)
    rows = list(tables.past(grid, tables.EMPTY_EACH))
    times = [row["created_at"] for row in rows]
    assert times.count(moment(MINUTE)) == 1
    assert times.count(moment(MINUTE) - tables.MICROSECOND) == 1
    empty = tables.EMPTY_EACH - 1
    assert not [at for at in times if at >= moment(grid.start(empty))]
    assert len({row["uid"] for row in rows}) == len(rows)


def test_the_last_frame_ends_when_the_clients_do() -> None:
    before = time.time()
    script = Script.of(24, 30)
    assert script.frames == 1440
    assert before + 29 < script.end <= time.time() + 30
    assert script.grid.ended(script.end - 0.1) == script.last
    assert script.grid.ended(script.end) == script.frames
