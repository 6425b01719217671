"""The commands as a person or a script runs them."""

import json
from typing import Any

import pytest
from aiohttp import web

from snk.embedded.process import free_port
from tests.kit.handoff import HEAD, OLD, Run, World, line, lines, started, until
from tests.kit.scripted import Backend


@pytest.mark.long
async def test_once_sends_what_there_is_and_tells_whether_anything_is_left(
    world: World, backend: Backend, snk: Run
) -> None:
    world.write(backend.name, lines(range(10)))
    assert (await snk("run", "--once")).returncode == 0
    assert len(backend.got) == 10
    assert not list((world.logs / backend.name).iterdir())
    await backend.stop()
    world.write(backend.name, lines(range(10)))
    assert (await snk("run", "--once")).returncode == 1


@pytest.mark.long
async def test_status_tells_each_backend(world: World, backend: Backend, snk: Run) -> None:
    backend.says = lambda got: web.Response(status=400 if "key=7&" in got.target else 200)
    world.write(backend.name, lines(range(10)))
    config = world.config(port=free_port())
    process = started(config, "run")
    try:

        async def told() -> dict[str, Any]:
            done = await snk("status", "--json", config=config)
            found: dict[str, Any] = json.loads(done.stdout)["backends"] if done.stdout else {}
            return found.get(backend.name, {})

        while (await told()).get("synced") != 9:
            assert process.poll() is None
        status = await told()
        expected = {"pending_lines": 0, "synced": 9, "dead": 1, "unknown": 0, "state": "alive", "processed": 10}
        assert {name: status[name] for name in expected} == expected
        shown = await snk("status", config=config)
        assert (shown.returncode, "has 1 dead letter\n" in shown.stdout) == (1, True)
    finally:
        process.terminate()
        process.communicate()
    assert process.returncode == 0
    done = await snk("status", config=config)
    assert (done.returncode, "does not answer at http://127.0.0.1:" in done.stderr) == (2, True)


async def test_a_second_server_on_the_same_state_is_refused(world: World, snk: Run) -> None:
    with world.state.locked():
        done = await snk("run", "--once")
    assert (done.returncode, "Another sync server uses" in done.stderr) == (2, True)


@pytest.mark.long
async def test_a_paused_backend_is_sent_nothing_until_it_is_resumed(world: World, backend: Backend, snk: Run) -> None:
    world.write(backend.name, line("a"))
    assert (await snk("pause", backend.name)).returncode == 0
    async with world.running() as server:
        known = server.lanes[backend.name].backend
        await until(lambda: bool(known.alive), "it is alive")
        assert (known.state, backend.got) == ("held", [])
        assert (await snk("resume", backend.name)).returncode == 0
        await until(lambda: len(backend.got) == 1, "the line")
    assert (await snk("resume", backend.name)).returncode == 1


async def test_tap_shows_what_waits_and_no_values(world: World, backend: Backend, snk: Run) -> None:
    world.write(backend.name, line("a", 5, b"secret") + HEAD + b"?\n" + line("b")[:40])
    done = await snk("tap", backend.name)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == f"{OLD}:1  method=PUT key=a ver=5 value=(6 bytes)"
    assert f"{OLD}:2  can never be sent: it is not base64" in done.stdout
    assert len(done.stdout.splitlines()) == 2
    shown = await snk("tap", backend.name, "--values", "--json", "--limit", "1")
    assert json.loads(shown.stdout)["value"] == "secret"
    async with world.running() as server:
        await until(lambda: str(server.tally) == "1 sent, 1 dead, 0 left", "one is sent and the bad one buried")
    assert (await snk("tap", backend.name)).returncode == 0


@pytest.mark.long
async def test_dead_letters_are_listed_shown_put_back_and_deleted(world: World, backend: Backend, snk: Run) -> None:
    backend.says = lambda _: web.Response(status=400, text="no")
    world.write(backend.name, line("a", 5, b"secret") + line("b"))
    assert await world.drained()
    listed = json.loads((await snk("dead", "list", "--json")).stdout)
    assert [(each["line"], each["status"], each["reason"]) for each in listed] == [
        (1, 400, "the backend answers 400 'no'"),
        (2, 400, "the backend answers 400 'no'"),
    ]
    first, second = (each["name"] for each in listed)
    shown = await snk("dead", "show", first)
    assert (shown.returncode, '"key": "a"' in shown.stdout, "secret" in shown.stdout) == (0, True, False)
    assert (await snk("dead", "show", first, "--raw")).stdout.encode() == line("a", 5, b"secret")
    backend.says = lambda _: web.Response()
    backend.got.clear()
    assert (await snk("dead", "replay", first)).returncode == 0
    assert await world.drained()
    assert [got.body for got in backend.got] == [b"secret"]
    assert (await snk("dead", "drop", second)).returncode == 0
    assert (await snk("dead", "list")).returncode == 0
    for words in (["show", "no/such"], ["drop", "../x"], ["replay"], ["drop", "--all", second]):
        done = await snk("dead", *words)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), words


async def test_old_logs_are_taken_in_under_free_names(world: World, backend: Backend, snk: Run) -> None:
    world.write(backend.name, line("there"))
    old, other = world.folder / OLD, world.folder / "backup.txt"
    old.write_bytes(line("old"))
    other.write_bytes(line("other"))
    done = await snk("import", str(old), str(other), "--to", backend.name)
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (world.logs / backend.name).iterdir())
    assert names[:2] == [OLD, "2023-11-14-22-14.log"]
    assert await world.drained()
    assert sorted(target[16:].partition("&")[0] for target in backend.targets) == ["old", "other", "there"]
    done = await snk("import", str(world.folder / "nothing"), "--to", backend.name)
    assert (done.returncode, "is not a file that can be read" in done.stderr) == (2, True)


async def test_decode_reads_any_file(world: World, snk: Run) -> None:
    file = world.folder / "some"
    file.write_bytes(line("a", 5) + b"junk\n" + line("b")[:-1])
    done = await snk("decode", str(file))
    told = [json.loads(each) for each in done.stdout.splitlines()]
    assert done.returncode == 1
    assert (told[0]["key"], told[0]["ver"]) == ("a", 5)
    assert [each.get("bad", "") for each in told[1:]] == [
        "it does not begin with a time and a level, such as [2023-11-14 22:13:20] [DEBUG] | ",
        "the line has no end",
    ]


@pytest.mark.long
async def test_the_doctor_names_what_is_wrong(world: World, backend: Backend, snk: Run) -> None:
    world.write(backend.name, lines(range(3)))
    done = await snk("doctor")
    assert (done.returncode, f"{backend.name}: it is alive" in done.stdout) == (0, True)
    assert "the first 3 lines can be sent" in done.stdout
    world.write("127.0.0.1:1", b'{"path": "/a"}\n')
    (world.logs / "junk").mkdir()
    done = await snk("doctor")
    assert "127.0.0.1:1: it cannot be reached" in done.stdout
    assert "Is handoff.codec right?" in done.stdout
    assert "junk: it is ignored: not a folder named HOST:PORT" in done.stdout
    done = await snk("doctor", config=world.config(logs="/no/such/folder"))
    assert (done.returncode, "there is no folder '/no/such/folder'" in done.stdout) == (1, True)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"codec": "xml"}, "handoff.codec is 'xml'"),
        ({"thread": 4}, "no setting handoff.thread; the nearest one is handoff.threads"),
        ({"access_allow": "10.0.0.9-10.0.0.1"}, "handoff.access_allow is '10.0.0.9-10.0.0.1'"),
        ({"auth_file": "/no/such"}, "handoff.auth_file is '/no/such'"),
        ({"outcomes": "all"}, "handoff.outcomes"),
        ({"retry_first_ms": 100, "retry_most_ms": 50}, "handoff.retry_first_ms is 100, above"),
        ({"logs": "/no/such/folder"}, "handoff.logs is '/no/such/folder', which is no readable folder"),
    ],
)
async def test_bad_settings_are_named_with_exit_code_2(world: World, snk: Run, given: dict[str, Any], why: str) -> None:
    done = await snk("run", "--once", config=world.config(**given))
    assert (done.returncode, why in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr
