"""What commands tell a person, and with which exit codes."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web

from snk.embedded.process import free_port
from snk.handoff.doctor import examine
from snk.handoff.settings import load_settings
from snk.handoff.state import State
from snk.handoff.status import Limits, Watcher
from tests.kit.handoff import OLD, Run, World, backend_of, line, lines, started, until
from tests.kit.scripted import Backend

ESCAPES = "\x1b]0;owned\x07\nnext\u202e"


async def test_once_is_not_well_if_lines_died_and_sums_up(world: World, backend: Backend, snk: Run) -> None:
    backend.says = lambda got: web.Response(status=400 if "key=1&" in got.target else 200)
    world.write(backend.name, lines(range(4)))
    done = await snk("run", "--once")
    assert (done.returncode, done.stdout) == (1, "3 sent, 1 dead, 0 left\n")
    assert "server_stopped" in done.stderr
    await backend.stop()
    world.write(backend.name, lines(range(2)))
    done = await snk("run", "--once")
    assert (done.returncode, done.stdout) == (1, "0 sent, 0 dead, 2 left\n")


@pytest.mark.long
async def test_a_pause_by_an_answer_names_the_way_out_and_is_not_taken_for_one_by_hand(
    world: World, backend: Backend, snk: Run
) -> None:
    backend.says = lambda _: web.Response(status=404)
    world.write(backend.name, b'{"path":"/a"}\n')
    config = world.config(port=free_port(), codec="jsonl")
    process = started(config, "run")
    try:
        why = 'fix the backend, or set handoff.outcomes "404" = "dead"'
        while True:
            told = await snk("status", config=config)
            assert process.poll() is None
            if "is paused" in told.stdout:
                break
        assert (told.returncode, why in told.stdout, "1 line waits" in told.stdout) == (1, True, True)
        done = await snk("resume", backend.name, config=config)
        assert (done.returncode, "is paused by an answer, not by you: the backend" in done.stdout) == (1, True)
        done = await snk("doctor", config=config)
        assert (done.returncode, f"{backend.name}: it is paused: the backend answers 404" in done.stdout) == (1, True)
        top = await asyncio.to_thread(_first_lines, config, 2)
        assert [words[:2] for words in top] == [top[0][:2]] * 2
        assert [words[2] for words in top] == [backend.name, "!"]
    finally:
        process.terminate()
        _, told_by_it = process.communicate()
    assert (process.returncode, b"server_stopped" in told_by_it) == (0, True)


def _first_lines(config: Path, count: int) -> list[list[str]]:
    """The words of the first lines of `top`, whose reader then goes away."""
    command = [sys.executable, "-m", "snk", "handoff", "top", "--every", "0.1", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        found = [process.stdout.readline().split() for _ in range(count)]
        process.stdout.close()
        assert (process.wait(), process.stderr.read()) == (0, "")
    return found


@pytest.mark.long
async def test_what_terminals_would_obey_is_escaped(world: World, backend: Backend, snk: Run) -> None:
    bad = b"\x1b[31m not a line\n"
    world.write(backend.name, line("a", value=ESCAPES.encode()) + bad)
    told = await snk("tap", backend.name, "--values")
    assert told.stdout.splitlines()[0].endswith(r'value="\u001b]0;owned\u0007\nnext\u202e"')
    for words in (["tap", backend.name, "--values", "--json"], ["decode", str(world.log(backend.name)), "--values"]):
        told = await snk(*words)
        first, *_ = told.stdout.splitlines()
        assert (first.isprintable(), json.loads(first)["value"]) == (True, ESCAPES), words
    async with world.running():
        await until(lambda: len(world.dead()) == 1, "the bad line is a dead letter")
    ((name, _),) = world.letters.all()
    told = await snk("dead", "show", name, "--values")
    assert told.stdout.endswith("\\u001b[31m not a line\n")
    one = json.loads((await snk("dead", "show", name, "--values", "--json")).stdout)
    assert (one["name"], one["text"], "it does not begin" in one["bad"]) == (name, r"\u001b[31m not a line", True)
    assert "(16 bytes; --values shows them)" in (await snk("dead", "show", name)).stdout
    raw = await snk("dead", "show", name, "--raw")
    assert raw.stdout.encode() == bad


async def test_a_reader_that_has_read_enough_is_no_error(world: World, backend: Backend) -> None:
    log = world.write(backend.name, lines(range(5000)))
    config = world.config()
    for words in (["decode", str(log)], ["tap", backend.name, "--limit", "5000"]):
        process = started(config, *words)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        error = await asyncio.to_thread(process.stderr.read)
        process.stderr.close()
        assert (process.wait(), error) == (0, b""), words


async def test_tap_tells_how_many_lines_it_leaves_out(world: World, backend: Backend, snk: Run) -> None:
    world.write(backend.name, lines(range(5)))
    assert (await snk("tap", backend.name, "--limit", "3")).stdout.splitlines()[3:] == ["… and 2 lines more"]
    told = await snk("tap", backend.name, "--limit", "3", "--json")
    assert ([json.loads(each)["line"] for each in told.stdout.splitlines()], told.stderr) == (
        [1, 2, 3],
        "… and 2 lines more\n",
    )


async def test_decode_reads_as_the_settings_say(world: World, snk: Run) -> None:
    file = world.folder / "some"
    file.write_bytes(b'{"path":"/a"}\n')
    done = await snk("decode", str(file), config=world.config(codec="jsonl"))
    assert (done.returncode, json.loads(done.stdout)["path"]) == (0, "/a")
    assert (await snk("decode", str(file), "--codec", "hustdb", config=world.config(codec="jsonl"))).returncode == 1
    done = await snk("decode", str(file), "--codec", "jsonl", "--key-form", "wire")
    assert (done.returncode, "There is no codec 'jsonl' with key form 'wire'" in done.stderr) == (2, True)


@pytest.mark.long
async def test_dead_letters_are_meant_exactly(world: World, backend: Backend, snk: Run) -> None:
    for words in (["list"], ["replay", "--all"]):
        done = await snk("dead", *words, config=world.config(state=str(world.folder / "nothing")))
        assert (done.returncode, "which is no folder" in done.stderr) == (2, True), words
    backend.says = lambda _: web.Response(status=400)
    world.write(backend.name, line("a"))
    assert await world.drained()
    ((name, _),) = world.letters.all()
    for words, why in (
        (["drop", "--all", "--backend", "10.9.9.9:1"], "10.9.9.9:1 has neither logs nor dead letters"),
        (["drop"], "It is not said which dead letters are meant. Give names"),
        (["drop", name, "--all"], "Both names and --all are given"),
        (["list", "10.9.9.9:1"], "has neither logs nor dead letters"),
    ):
        done = await snk("dead", *words)
        assert (done.returncode, why in done.stderr) == (2, True), (words, done.stderr)
    backend.says = lambda _: web.Response()
    done = await snk("dead", "replay", name, name)
    assert (done.returncode, done.stdout) == (0, "1 put back into the log\n")
    assert await world.drained()
    assert len(backend.got) == 2


async def test_dead_letters_are_for_their_owner_and_group(world: World, backend: Backend) -> None:
    world.write(backend.name, b"junk\n")
    before = os.umask(0)
    try:
        assert await world.drained()
    finally:
        os.umask(before)
    (path,) = world.state.dead.glob("*/*")
    assert [oct(each.stat().st_mode & 0o777) for each in (path, path.parent)] == ["0o640", "0o750"]


async def test_a_pause_by_hand_is_told_and_a_trouble_when_it_is_forgotten(
    world: World, backend: Backend, snk: Run
) -> None:
    done = await snk("pause", "10.9.9.9:1")
    assert (done.returncode, "has no folder" in done.stderr) == (0, True)
    world.write(backend.name, lines(range(2)))
    assert not (await snk("pause", backend.name)).stderr
    async with world.running() as server:
        watcher = Watcher(server, Limits())
        await until(lambda: backend_of(server, backend.name).pending == 2, "the lines are counted")
        assert watcher.status().troubles == []
        assert watcher.status().backends[backend.name].state == "held"
        os.utime(world.folder / "state" / "held" / backend.name, (time.time() - 7200,) * 2)
        await until(lambda: bool(watcher.status().troubles), "it is a trouble")
        (trouble,) = watcher.status().troubles
        assert trouble.startswith(f"{backend.name} is paused by hand for 2 h, 2 lines wait; `snk handoff resume")


async def found(world: World, level: str, **settings: object) -> dict[str, str]:
    """What the doctor finds on this level."""
    findings = [each async for each in examine(load_settings(world.config(**settings)))]
    return {each.subject: each.message for each in findings if each.level == level}


async def test_the_doctor_is_not_well_if_nothing_can_be_sent(world: World, backend: Backend) -> None:
    assert not await found(world, "error")
    world.write(backend.name, b"junk\njunk\n")
    assert "2 of 2 lines can never be sent" in (await found(world, "error"))[backend.name]
    world.write(backend.name, line("a"))
    assert "2 of 3 lines can never be sent" in (await found(world, "warning"))[backend.name]
    assert not await found(world, "error")
    State(world.folder / "state").hold(backend.name)
    assert (await found(world, "warning"))[backend.name] == "it is paused by hand"
    State(world.folder / "state").resume(backend.name)
    await backend.stop()
    assert "it cannot be reached" in (await found(world, "error"))[backend.name]
    shutil.rmtree(world.logs / backend.name)
    world.log(backend.name)
    assert "it cannot be reached" in (await found(world, "warning"))[backend.name]


async def test_the_doctor_finds_a_port_that_something_else_has(world: World, backend: Backend) -> None:
    world.log(backend.name)
    assert "Cannot listen on" in (await found(world, "error", port=backend.port))["handoff.port"]
    assert not await found(world, "error", port=free_port())


async def test_a_folder_that_is_removed_is_told_at_once(world: World, backend: Backend) -> None:
    await backend.stop()
    world.change(scan_seconds=3600.0)
    world.write(backend.name, lines(range(10)))
    async with world.running() as server:
        known = backend_of(server, backend.name)
        await until(lambda: known.pending == 10, "the lines are counted")
        shutil.rmtree(world.logs / backend.name)
        await until(lambda: (known.pending, known.counts.lost) == (0, 10), "they are told as lost")


@pytest.mark.parametrize("days", [1, 8])
async def test_progress_of_a_log_that_vanished_stays_for_a_week(world: World, backend: Backend, days: int) -> None:
    world.log(backend.name)
    path = world.state.path_of(backend.name, OLD)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"progress")
    os.utime(path, (time.time() - days * 86_400,) * 2)
    async with world.running():
        assert path.exists() == (days < 7)


async def test_a_log_that_is_copied_back_while_it_is_read_is_not_sent_again(world: World, backend: Backend) -> None:
    backend.says = lambda got: web.Response(status=503 if "key=7&" in got.target else 200)
    world.change(tries=10**6)
    log = world.write(backend.name, lines(range(10)))
    async with world.running() as server:
        known = backend_of(server, backend.name)
        await until(lambda: known.counts.synced == 9, "all but one")
        place = known.logs[OLD].place
        shutil.copy(log, log.with_name("copy"))
        log.with_name("copy").rename(log)
        await until(lambda: known.logs[OLD].place not in (place, (0, 0)), "the other file is seen")
        backend.says = lambda _: web.Response()
        await until(lambda: not known.pending, "the last line")
        assert (known.counts.lost, known.counts.processed) == (0, 11)
    assert {target for target in backend.targets if backend.targets.count(target) > 1} == {
        "/hustdb/put?key=7&ver=1&is_dup=true"
    }


@pytest.mark.long
@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"threads": True}, "handoff.threads is True: input should be a valid integer"),
        ({"codec": "jsonl", "key_form": "wire"}, "handoff.key_form is 'wire', which is for codec hustdb only"),
        ({"codec": "jsonl", "outcomes": "original"}, "handoff.outcomes is 'original', which is for codec hustdb only"),
        ({"outcomes": "all"}, 'handoff.outcomes is \'all\': write "snk", "original", or a table of answers'),
        ({"access_allow": "x"}, "snk.toml: handoff.access_allow is 'x'"),
        ({"logs": "/no/such"}, "snk.toml: handoff.logs is '/no/such'"),
    ],
)
async def test_wrong_settings_are_told_in_one_sentence_with_the_file(
    world: World, snk: Run, given: dict[str, object], why: str
) -> None:
    done = await snk("run", "--once", config=world.config(**given))
    assert (done.returncode, why in done.stderr) == (2, True), done.stderr
    assert str(world.folder / "snk.toml") in done.stderr


@pytest.mark.parametrize("answers", ['"4x" = "dead"', '"404" = "skip"', '"404 removals" = "done"'])
async def test_wrong_outcomes_are_named(world: World, snk: Run, answers: str) -> None:
    config = world.config()
    config.write_text(config.read_text() + f"[handoff.outcomes]\n{answers}\n")
    done = await snk("run", "--once", config=config)
    name, _, meaning = answers.replace('"', "'").partition(" = ")
    assert f'{name} = {meaning} is wrong; write "snk"' in done.stderr
    assert done.returncode == 2
