"""What people ran into with tools that replay logs, and what a backend may answer: each is survived, and told."""

import asyncio
import fcntl
import resource
import shutil
from base64 import b64encode
from itertools import cycle
from pathlib import Path

import pytest
from aiohttp import web

from snk.handoff.outcome import ORIGINAL
from snk.handoff.progress import HEADER_BYTES
from snk.handoff.record import Record, packed
from tests.kit.handoff import HEAD, NEXT, OLD, World, backend_of, line, lines, until
from tests.kit.scripted import Backend, Got


async def test_a_torn_tail_of_an_old_log_is_a_dead_letter_and_the_log_is_released(
    world: World, backend: Backend
) -> None:
    log = world.write(backend.name, line("a") + line("b")[:30])
    assert await world.drained()
    assert backend.targets == ["/hustdb/put?key=a&ver=1&is_dup=true"]
    assert world.dead() == [(OLD, 2, "the line has no end")]
    ((name, _),) = world.letters.all()
    assert world.letters.get(name)[1] == line("b")[:30]
    assert not log.exists()


async def test_one_bad_line_among_a_thousand_is_a_dead_letter_and_all_others_are_sent(
    world: World, backend: Backend
) -> None:
    bad = HEAD + b"bm90IGEgcmVjb3Jk\n"
    world.write(backend.name, lines(range(500)) + bad + lines(range(500, 999)))
    assert await world.drained()
    assert len(set(backend.targets)) == len(backend.got) == 999
    ((log, number, reason),) = world.dead()
    assert (log, number) == (OLD, 501)
    assert "its head alone has" in reason
    ((name, _),) = world.letters.all()
    assert world.letters.get(name)[1] == bad[:-1]


@pytest.mark.parametrize("damage", ["cut", "bit", "version", "empty", "junk"])
async def test_a_torn_file_of_progress_is_put_aside_and_everything_is_sent_again(
    world: World, backend: Backend, damage: str
) -> None:
    path = await _partly_sent(world, backend)
    content = bytearray(path.read_bytes())
    content = {
        "cut": content[: HEADER_BYTES - 5],
        "bit": content[:20] + bytes([content[20] ^ 1]) + content[21:],
        "version": content[:8] + b"\x09\0" + content[10:],
        "empty": bytearray(),
        "junk": bytearray(b"x" * 100),
    }[damage]
    path.write_bytes(content)
    assert await world.drained()
    assert len(backend.got) == 10
    assert len(list((world.folder / "state" / "quarantine" / backend.name).iterdir())) == 1


async def _partly_sent(world: World, backend: Backend) -> Path:
    """Send nine of ten lines, and stop; return the file of progress."""
    backend.says = lambda got: web.Response(status=503 if "key=7&" in got.target else 200)
    world.change(tries=10**6)
    world.write(backend.name, lines(range(10)))
    async with world.running() as server:
        await until(lambda: backend_of(server, backend.name).counts.synced == 9, "all but one")
    backend.got.clear()
    backend.says = lambda _: web.Response()
    (path,) = (world.folder / "state" / "progress" / backend.name).iterdir()
    return path


async def test_progress_that_is_lost_means_that_everything_is_sent_again(world: World, backend: Backend) -> None:
    path = await _partly_sent(world, backend)
    path.unlink()
    assert await world.drained()
    assert len(backend.got) == 10


async def test_a_poison_line_at_the_head_holds_up_only_its_key(world: World, backend: Backend) -> None:
    backend.says = lambda got: web.Response(status=500, text="no") if "key=poison" in got.target else web.Response()
    world.write(backend.name, line("poison") + lines(range(50)) + line("poison", 2))
    async with world.running() as server:
        await until(lambda: backend_of(server, backend.name).counts.synced == 50, "the others")
        await until(lambda: len(world.dead()) == 2, "both are dead letters")
    assert world.dead()[0] == (OLD, 1, "the backend answers 500 'no', 3 times")
    assert sum("poison" in target for target in backend.targets) == 6


async def test_a_backend_that_fails_altogether_is_probed_and_its_lines_are_kept(world: World, backend: Backend) -> None:
    backend.says = lambda _: web.Response(status=503)
    world.write(backend.name, lines(range(1000)))
    async with world.running() as server:
        await until(lambda: backend_of(server, backend.name).breaker.state == "tripped", "it is probed")
        seen = len(backend.got)
        await until(lambda: len(backend.got) > seen + 3, "some probes")
        assert backend.most_at_once <= 4
        backend.says = lambda _: web.Response()
        await until(lambda: backend_of(server, backend.name).pending == 0, "everything is sent")
        assert backend_of(server, backend.name).counts.dead < 5


async def test_late_answers_are_unknown_and_end_in_patience_and_no_flood(world: World, backend: Backend) -> None:
    """An answer that always comes after the deadline was asked for again and again, for ever."""

    async def late(_: Got) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response()

    backend.says = late
    world.change(timeout_seconds=0.1)
    world.write(backend.name, lines(range(6)))
    async with world.running() as server:
        known = backend_of(server, backend.name)
        await until(lambda: known.pending == 0 and known.counts.synced == 6, "all are done")
        assert known.counts.unknown > 0
        assert known.counts.dead == 0
    assert backend.most_at_once <= 8


async def test_a_dead_connection_is_replaced_and_the_post_is_sent_again(world: World, backend: Backend) -> None:
    cut = iter([True] * 4)
    backend.says = lambda _: None if next(cut, False) else web.Response()
    world.write(backend.name, lines(range(100)))
    async with world.running() as server:
        await until(lambda: backend_of(server, backend.name).counts.synced == 100, "all lines")
    assert len(set(backend.targets)) == 100
    assert not world.dead()


async def test_an_adding_zadd_without_an_answer_is_counted(world: World, backend: Backend) -> None:
    cut = iter([True] * 3)
    backend.says = lambda _: None if next(cut, False) else web.Response()
    record = Record(7, 1, b"m", 0, b"t", 5, 1, b"m")
    world.write(backend.name, HEAD + b64encode(packed(record)) + b"\n")
    async with world.running() as server:
        await until(lambda: backend_of(server, backend.name).counts.synced == 1, "it is done")
        assert backend_of(server, backend.name).counts.unknown_adds >= 1


async def test_only_regular_files_with_the_name_of_a_log_are_read_and_others_are_listed(
    world: World, backend: Backend
) -> None:
    log = world.write(backend.name, line("a"))
    elsewhere = world.folder / "elsewhere"
    elsewhere.write_bytes(line("never"))
    for name in ("2023-11-14-22-13.log.gz", "2023-11-14-22-13.log.1", "notes.txt", "2023-99-14-22-13.log"):
        log.with_name(name).write_bytes(line("never"))
    log.with_name("2023-11-14-22-15.log").symlink_to(elsewhere)
    log.with_name("2023-11-14-22-16.log").hardlink_to(log)
    (log.parent / NEXT).mkdir()
    (world.logs / "not a backend").mkdir()
    (world.logs / "127.0.0.1:99999").mkdir()
    async with world.running() as server:
        await until(lambda: backend_of(server, backend.name).counts.synced == 1, "the one line")
        ignored = server.monitor.last.ignored
    assert backend.targets == ["/hustdb/put?key=a&ver=1&is_dup=true"]
    assert len(ignored) == 9


@pytest.mark.parametrize("size", [400_000, 3_000_000])
async def test_a_huge_line_keeps_no_other_from_being_sent(world: World, backend: Backend, size: int) -> None:
    huge = line("huge", value=b"x" * size)
    world.write(backend.name, line("a") + huge + line("b"))
    assert await world.drained()
    sent = {target.partition("key=")[2].partition("&")[0] for target in backend.targets}
    if len(huge) <= world.serving.most_line:
        assert (sent, world.dead()) == ({"a", "huge", "b"}, [])
    else:
        assert sent == {"a", "b"}
        ((name, letter),) = world.letters.all()
        assert (letter.line, "more than a line may have" in letter.reason) == (2, True)
        assert world.letters.get(name)[1] == huge[:-1]


@pytest.mark.parametrize(("status", "headers"), [(401, {}), (405, {}), (404, {}), (302, {"Location": "/"}), (204, {})])
async def test_a_wrong_password_or_path_pauses_the_backend_and_consumes_nothing(
    world: World, backend: Backend, status: int, headers: dict[str, str]
) -> None:
    backend.says = lambda _: web.Response(status=status, headers=headers)
    world.write(backend.name, lines(range(100)))
    async with world.running() as server:
        known = backend_of(server, backend.name)
        await until(lambda: known.state == "paused", "it is paused")
        seen = len(backend.got)
        await until(lambda: len(backend.got) > seen + 2, "probes")
        assert (known.pending, known.counts.synced, known.counts.dead) == (100, 0, 0)
        assert f"the backend answers {status}" in known.breaker.reason
        backend.says = lambda _: web.Response()
        await until(lambda: known.counts.synced == 100, "it goes on by itself")
    assert not world.dead()


@pytest.mark.parametrize(
    ("method", "answer", "dead"),
    [
        (1, (400, {}), 1),
        (1, (412, {}), 1),
        (2, (412, {}), 0),
        (2, (404, {"Version": "7"}), 0),
        (2, (404, {"VerError": "true"}), 0),
        (2, (400, {}), 1),
        (1, (404, {"Version": "7"}), 1),
    ],
)
async def test_what_answers_mean(
    world: World, backend: Backend, method: int, answer: tuple[int, dict[str, str]], dead: int
) -> None:
    status, headers = answer
    backend.says = lambda _: web.Response(status=status, headers=headers)
    world.write(backend.name, line("a", method=method))
    assert await world.drained()
    assert (len(world.dead()), len(backend.got)) == (dead, 1)


async def test_the_original_meaning_of_answers_can_be_had(world: World, backend: Backend) -> None:
    answers = cycle([401, 404, 500, 412])
    backend.says = lambda _: web.Response(status=next(answers))
    world.change(rules=ORIGINAL, tries=1)
    world.write(backend.name, line("a"))
    async with world.running() as server:
        await until(lambda: backend_of(server, backend.name).counts.synced == 1, "the fourth answer ends it")
    assert len(backend.got) == 4


async def test_retry_after_is_honoured(world: World, backend: Backend) -> None:
    backend.says = lambda _: web.Response(status=429, headers={"Retry-After": "120"})
    world.write(backend.name, lines(range(20)))
    async with world.running() as server:
        known = backend_of(server, backend.name)
        await until(lambda: known.breaker.until > asyncio.get_running_loop().time() + 60, "it is left alone")
        await until(lambda: known.under_way == 0, "those under way are answered")
        seen = len(backend.got)
        await asyncio.sleep(0.3)
        assert len(backend.got) == seen <= 4


async def test_a_log_that_is_truncated_and_written_anew_is_sent_anew(world: World, backend: Backend) -> None:
    log = world.write(backend.name, lines(range(10)))
    world.write(backend.name, line("newest"), NEXT)
    world.change(release_seconds=3600.0)
    async with world.running():
        await until(lambda: len(backend.got) == 11, "the old lines")
        log.write_bytes(lines(range(100, 120)))
        await until(lambda: len(backend.got) == 31, "the new lines")
    assert len(set(backend.targets)) == 31


async def test_a_log_that_is_replaced_while_nothing_runs_is_sent_anew(world: World, backend: Backend) -> None:
    path = await _partly_sent(world, backend)
    world.log(backend.name).write_bytes(lines(range(100, 120)))
    assert await world.drained()
    assert len(set(backend.targets)) == len(backend.got) == 20
    assert not path.exists()


@pytest.mark.parametrize("when", ["running", "stopped"])
async def test_a_log_that_is_renamed_is_read_on_under_its_new_name(world: World, backend: Backend, when: str) -> None:
    if when == "running":
        backend.says = lambda got: web.Response(status=503 if "key=7&" in got.target else 200)
        world.change(tries=10**6)
        log = world.write(backend.name, lines(range(10)))
        async with world.running() as server:
            await until(lambda: backend_of(server, backend.name).counts.synced == 9, "all but one")
            log.rename(log.with_name(NEXT))
            await until(lambda: list(backend_of(server, backend.name).logs) == [NEXT], "the new name is seen")
            backend.says = lambda _: web.Response()
            await until(lambda: backend_of(server, backend.name).counts.synced == 10, "the last one")
    else:
        await _partly_sent(world, backend)
        log = world.log(backend.name)
        log.rename(log.with_name(NEXT))
        assert await world.drained()
    sent = [target for target in backend.targets if "key=7&" not in target]
    assert len(sent) == (9 if when == "running" else 0)


async def test_a_log_that_is_copied_back_keeps_its_progress(world: World, backend: Backend) -> None:
    """Another file with the same content, such as from a backup, is the same log."""
    await _partly_sent(world, backend)
    log = world.log(backend.name)
    shutil.copy(log, log.with_name("copy"))
    log.with_name("copy").rename(log)
    assert await world.drained()
    assert len(backend.got) == 1


async def test_a_log_that_vanishes_before_it_was_sent_is_told(world: World, backend: Backend) -> None:
    await backend.stop()
    log = world.write(backend.name, lines(range(10)))
    async with world.running() as server:
        known = backend_of(server, backend.name)
        await until(lambda: known.pending == 10, "the lines are counted")
        log.unlink()
        await until(lambda: known.counts.lost == 10, "they are told as lost")


async def test_a_writer_that_has_a_log_open_keeps_it_from_being_released(world: World, backend: Backend) -> None:
    log = world.write(backend.name, line("a"))
    with log.open("ab", buffering=0) as writer:
        fcntl.flock(writer, fcntl.LOCK_SH)
        async with world.running() as server:
            await until(lambda: backend_of(server, backend.name).counts.synced == 1, "the line")
            await asyncio.sleep(0.3)
            assert log.exists()
            writer.write(line("b"))
            await until(lambda: len(backend.got) == 2, "the late line")
            fcntl.flock(writer, fcntl.LOCK_UN)
            await until(lambda: not log.exists(), "it is released")


@pytest.mark.long
async def test_many_logs_need_few_descriptors(world: World, backend: Backend) -> None:
    for number in range(2000):
        world.write(
            backend.name,
            line(str(number)),
            f"2023-11-{1 + number // 1440:02}-{number // 60 % 24:02}-{number % 60:02}.log",
        )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (held + 40, hard))
    try:
        assert await world.drained()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(set(backend.targets)) == len(backend.got) == 2000
