"""The writer's log: what it claims to have written is on disk, whole, and in a file that is still there."""

import errno
import fcntl
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from snk.errors import LogFull
from snk.handoff.codecs.hustdb import Hustdb, HustdbWrite
from snk.handoff.codecs.jsonl import Jsonl, JsonWrite
from snk.handoff.log import Log
from snk.handoff.record import Record
from tests.kit.disk import Disk

BACKEND = "10.0.0.1:9998"
AT = datetime(2023, 11, 14, 22, 13, 20)  # noqa: DTZ001 - logs are in local time
NAME = "2023-11-14-22-13.log"
# A child process that appends lines as told by its arguments.
CHILD = """
import os, sys
from pathlib import Path
from datetime import datetime
from threading import Thread
from snk.handoff.codecs.jsonl import Jsonl
from snk.handoff.log import Log
log = Log(Path(sys.argv[1]), Jsonl(), now=lambda: datetime(2023, 11, 14, 22, 13, 20))
def write(thread):
    for number in range(int(sys.argv[3])):
        log.append_raw("10.0.0.1:9998", f"{sys.argv[2]} {thread} {number} ".encode() + b"x" * 3000)
        os.write(1, f"{sys.argv[2]} {thread} {number}\\n".encode())
threads = [Thread(target=write, args=(thread,)) for thread in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
FULL = """
import resource, sys
from pathlib import Path
from datetime import datetime
from snk.errors import LogFull
from snk.handoff.codecs.jsonl import Jsonl
from snk.handoff.log import Log
log = Log(Path(sys.argv[1]), Jsonl(), now=lambda: datetime(2023, 11, 14, 22, 13, 20))
log.append_raw("10.0.0.1:9998", b"first")
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
try:
    log.append_raw("10.0.0.1:9998", b"y" * 200)
except LogFull as error:
    print(error)
log.append_raw("10.0.0.1:9998", b"third")
"""


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def threads(disk: Disk) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool
        disk.may_go.set()


def log_in(folder: Path, limit: int = 0, now: Callable[[], datetime] = lambda: AT) -> Log[JsonWrite]:
    return Log(folder, Jsonl(), limit, now)


def lines(folder: Path, name: str = NAME) -> list[bytes]:
    content = (folder / BACKEND / name).read_bytes()
    assert content.endswith(b"\n")
    return content.splitlines()


def wait_for(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.001)


def started_behind(disk: Disk, log: Log[JsonWrite], threads: ThreadPoolExecutor, folder: Path) -> list[Future[None]]:
    """Eight writers, of whom the first waits for the disk and the others for it."""
    log.append_raw(BACKEND, b"before")
    while disk.entered.acquire(blocking=False):
        pass
    disk.forced.clear()
    disk.may_go.clear()
    first = threads.submit(log.append_raw, BACKEND, b"0")
    disk.entered.acquire()
    others = [threads.submit(log.append_raw, BACKEND, f"{number}".encode()) for number in range(1, 8)]
    wait_for(lambda: len((folder / BACKEND / NAME).read_bytes().splitlines()) == 9)
    assert not [writer for writer in (first, *others) if writer.done()]
    return [first, *others]


def test_a_write_is_decoded_as_it_was(tmp_path: Path) -> None:
    write = HustdbWrite(Record(3, 7, b"k\xff\n", 0, b"t", value=b"\x00\n"))
    with Log(tmp_path, Hustdb(), now=lambda: AT) as log:
        log.write(BACKEND, write)
    assert [Hustdb().decode(line) for line in lines(tmp_path)] == [write]
    request = JsonWrite("POST", "/a", body=b"b")
    with log_in(tmp_path, now=lambda: AT + timedelta(minutes=1)) as other:
        other.write(BACKEND, request)
    assert [Jsonl().decode(line) for line in lines(tmp_path, "2023-11-14-22-14.log")] == [request]


def test_a_line_and_the_names_that_lead_to_it_are_forced_to_disk_first(tmp_path: Path, disk: Disk) -> None:
    log_in(tmp_path).append_raw(BACKEND, b"one")
    assert disk.forced == [tmp_path.name, BACKEND, NAME]
    disk.forced.clear()
    log_in(tmp_path).append_raw(BACKEND, b"two")
    assert disk.forced == [NAME], "the names are on disk already"


def test_concurrent_writers_share_the_wait_for_the_disk(
    tmp_path: Path, disk: Disk, threads: ThreadPoolExecutor
) -> None:
    writers = started_behind(disk, log_in(tmp_path), threads, tmp_path)
    disk.may_go.set()
    for writer in writers:
        writer.result()
    assert disk.forced == [NAME, NAME], "one for the first, and one for all others"


def test_a_failure_of_the_disk_reaches_everyone_whose_line_may_be_lost(
    tmp_path: Path, disk: Disk, threads: ThreadPoolExecutor
) -> None:
    log = log_in(tmp_path)
    writers = started_behind(disk, log, threads, tmp_path)
    disk.fails = True
    disk.may_go.set()
    errors = [writer.exception() for writer in writers]
    assert [error.errno for error in errors if isinstance(error, OSError)] == [errno.EIO] * 8
    assert disk.forced == [NAME], "the disk is not asked again: it may claim success for what it has dropped"
    disk.fails = False
    log.append_raw(BACKEND, b"after")
    assert lines(tmp_path)[-1] == b"after"


def test_half_a_line_that_a_crash_left_stays_a_line_of_its_own(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.append_raw(BACKEND, b"one")
    with (tmp_path / BACKEND / NAME).open("ab") as file:
        file.write(b"tw")
    log.append_raw(BACKEND, b"three")
    assert lines(tmp_path) == [b"one", b"tw", b"three"]


def test_each_minute_has_a_file(tmp_path: Path) -> None:
    times = [AT, AT + timedelta(seconds=39), AT + timedelta(seconds=40), AT - timedelta(minutes=1)]
    log = log_in(tmp_path, now=iter(times).__next__)
    for number in range(4):
        log.append_raw(BACKEND, b"%d" % number)
    names = ("2023-11-14-22-12.log", NAME, "2023-11-14-22-14.log")
    assert [lines(tmp_path, name) for name in names] == [[b"3"], [b"0", b"1"], [b"2"]]


def test_a_writer_of_the_former_minute_finishes_there(tmp_path: Path, disk: Disk, threads: ThreadPoolExecutor) -> None:
    minutes = [0]
    log = log_in(tmp_path, now=lambda: AT + timedelta(minutes=minutes[0]))
    writers = started_behind(disk, log, threads, tmp_path)
    minutes[0] = 1
    last = threads.submit(log.append_raw, BACKEND, b"last")
    disk.entered.acquire()
    disk.may_go.set()
    for writer in (*writers, last):
        writer.result()
    assert (len(lines(tmp_path)), lines(tmp_path, "2023-11-14-22-14.log")) == (9, [b"last"])


def test_nobody_can_lock_a_log_while_a_line_is_on_its_way(
    tmp_path: Path, disk: Disk, threads: ThreadPoolExecutor
) -> None:
    writers = started_behind(disk, log_in(tmp_path), threads, tmp_path)
    with (tmp_path / BACKEND / NAME).open("rb") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        disk.may_go.set()
        for writer in writers:
            writer.result()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_line_that_waits_for_a_deletion_goes_to_a_new_file(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    log = log_in(tmp_path)
    log.append_raw(BACKEND, b"old")
    path = tmp_path / BACKEND / NAME
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        writer = threads.submit(log.append_raw, BACKEND, b"new")
        wait_for(lambda: len(opened(path)) == 2)
        path.unlink()
    writer.result()
    assert lines(tmp_path) == [b"new"]


def opened(path: Path) -> list[str]:
    """The descriptors of this process that are of a file."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found += [descriptor.name] if descriptor.samefile(path) else []
        except FileNotFoundError:
            continue
    return found


def test_a_file_that_somebody_deletes_or_replaces_is_not_written_to(
    tmp_path: Path, disk: Disk, threads: ThreadPoolExecutor
) -> None:
    log = log_in(tmp_path)
    writers = started_behind(disk, log, threads, tmp_path)
    (tmp_path / BACKEND / NAME).rename(tmp_path / "elsewhere")
    last = threads.submit(log.append_raw, BACKEND, b"last")
    disk.entered.acquire()
    disk.may_go.set()
    for writer in (*writers, last):
        writer.result()
    assert (len((tmp_path / "elsewhere").read_bytes().splitlines()), lines(tmp_path)) == (9, [b"last"])


def test_nothing_is_held_open_when_nobody_writes(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    log = log_in(tmp_path)
    for number in range(3):
        log.append_raw(f"10.0.0.{number}:1", b"line")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_full_disk_takes_nothing_and_leaves_no_half_of_a_line(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=True)
    assert f"{tmp_path / BACKEND}: File too large. Nothing was written" in done.stdout
    assert lines(tmp_path) == [b"first", b"third"]


def test_the_logs_of_one_backend_stay_below_the_limit(tmp_path: Path) -> None:
    minutes = [0]
    log = log_in(tmp_path, 100, lambda: AT + timedelta(minutes=minutes[0]))
    for minute in range(5):
        minutes[0] = minute
        log.append_raw(BACKEND, b"x" * 19)
    with pytest.raises(LogFull, match="have 100 of 100 bytes"):
        log.append_raw(BACKEND, b"x")
    log.append_raw("10.0.0.2:1", b"another backend has its own")
    (tmp_path / BACKEND / "readme").write_bytes(b"y" * 1000)
    (tmp_path / BACKEND / NAME).unlink()
    log.append_raw(BACKEND, b"x" * 19)
    with pytest.raises(LogFull):
        log_in(tmp_path, 100).append_raw(BACKEND, b"x")


@pytest.mark.parametrize("name", ["", "..", "a/../b:1", "host", "host:0", "host:65536", "../x:1", "a:1/b"])
def test_only_a_host_and_a_port_get_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a host and a port"):
        log_in(tmp_path).append_raw(name, b"line")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("line", [b"", b"two\nlines"])
def test_only_one_whole_line_is_appended(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(ValueError, match="not one line"):
        log_in(tmp_path).append_raw(BACKEND, line)


def test_a_log_that_is_closed_or_has_no_folder_refuses(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.close()
    with pytest.raises(ValueError, match="closed"):
        log.append_raw(BACKEND, b"line")
    with pytest.raises(FileNotFoundError):
        log_in(tmp_path / "unmounted").append_raw(BACKEND, b"line")


def test_a_folder_that_is_deleted_is_made_again(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.append_raw(BACKEND, b"one")
    (tmp_path / BACKEND / NAME).unlink()
    (tmp_path / BACKEND).rmdir()
    log.append_raw(BACKEND, b"two")
    assert lines(tmp_path) == [b"two"]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / BACKEND).mkdir()
    (tmp_path / BACKEND / NAME).symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        log_in(tmp_path).append_raw(BACKEND, b"line")
    assert not (tmp_path / "precious").exists()


def test_processes_that_write_at_the_same_time_keep_their_lines_whole(tmp_path: Path) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, tmp_path, name, "50"], stdout=subprocess.DEVNULL)
        for name in ("a", "b")
    ]
    assert [child.wait() for child in children] == [0, 0]
    expected = Counter(f"{name} {thread} {number}" for name in "ab" for thread in range(4) for number in range(50))
    assert Counter(line.decode().rpartition(" ")[0] for line in lines(tmp_path)) == expected
    assert {len(line.rpartition(b" ")[2]) for line in lines(tmp_path)} == {3000}


def test_a_process_that_is_killed_has_logged_whatever_it_said(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, tmp_path, "c", "100000"], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    told = [child.stdout.readline().strip() for _ in range(100)]
    child.send_signal(signal.SIGKILL)
    told += [line.strip() for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    child.stdout.close()
    child.wait()
    log_in(tmp_path).append_raw(BACKEND, b"after 0 0 x")
    assert set(told) <= {line.decode().rpartition(" ")[0] for line in lines(tmp_path)}
    assert lines(tmp_path)[-1] == b"after 0 0 x"


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (JsonWrite("FOO", "/a"), "the method 'FOO' is none of"),
        (JsonWrite("PUT", "a"), "the path 'a'"),
        (JsonWrite("PUT", ""), "the path ''"),
        (JsonWrite("PUT", "/\u00e4"), "the path"),
        (JsonWrite("PUT", "/a?b=c"), "the path '/a.b=c'"),
        (JsonWrite("PUT", "/a", headers=(("Host", "b"),)), "the header 'Host'"),
        (JsonWrite("PUT", "/a", headers=(("A", "b\r\nC: d"),)), "the header A has a value that cannot be sent"),
        (JsonWrite("PUT", "/a", headers=(("A", "b"), ("A", "c"))), "two headers have one name"),
        (JsonWrite("PUT", "/a", expires_at=float("nan")), "NaN is no JSON"),
    ],
)
def test_a_write_that_can_never_be_sent_is_refused_at_once(tmp_path: Path, write: JsonWrite, why: str) -> None:
    with log_in(tmp_path) as log, pytest.raises(ValueError, match=why):
        log.write(BACKEND, write)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (Record(1, 1, b"", value=b"v"), "it has no key"),
        (Record(1, 1, b"k"), "it has no value"),
        (Record(9, 1, b"k"), "the method 9 is unknown"),
        (Record(1, -1, b"k", value=b"v"), "cannot be packed"),
    ],
)
def test_a_record_that_can_never_be_sent_is_refused_at_once(tmp_path: Path, record: Record, why: str) -> None:
    with Log(tmp_path, Hustdb()) as log, pytest.raises(ValueError, match=why):
        log.write(BACKEND, HustdbWrite(record))
    assert not list(tmp_path.iterdir())


def test_a_body_that_is_text_is_refused_and_a_folder_may_be_text(tmp_path: Path) -> None:
    with Log(str(tmp_path), Jsonl(), now=lambda: AT) as log:
        with pytest.raises(TypeError, match="body is a str; give bytes"):
            log.write(BACKEND, JsonWrite("PUT", "/a", body="text"))  # type: ignore[arg-type]
        log.write(BACKEND, JsonWrite("PUT", "/a", body=b"text"))
    assert len(lines(tmp_path)) == 1
