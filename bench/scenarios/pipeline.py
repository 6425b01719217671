"""How fast frames are pulled and records pushed, against loops that do the same requests and keep no account of them.

Source and sink answer at once, and tell how many requests came and when the first and the last did: a rate is between
these two, so the start of Python counts for nobody.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from bench.results import Result
from bench.usage import peak_mib
from snk.embedded.process import free_port
from snk.pipeline.frame import written

Ways = dict[str, Callable[[int, int], dict[str, float]]]
"""How a number of records or frames, with so many requests at once, is measured."""

LOOK_SECONDS = 0.2
WARM_SECONDS = 3.0
PATIENCE_SECONDS = 1800.0
DAY_SECONDS = 86_400
PER_FRAME = 1000
LARGE_BATCH = 100
"""Records per request where only memory is measured: it takes a while one by one."""
SPARE_SECONDS = 600
"""All frames ended so long ago, and the next one ends much later than any measurement does."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """Records pushed one by one, with one and with many requests under way."""

    records: int
    at_once: tuple[int, ...]

    def run(self, rounds: int) -> Iterator[Result]:
        """Run both ways, round by round; every other round runs in reverse order."""
        for at_once in self.at_once:
            ways: Ways = {"bare loop": _bare_push, "snk": _push}
            yield from _both(ways, self.records, at_once, rounds, f"{self.records:,} records pushed")


@dataclass(frozen=True, slots=True)
class Pulled:
    """Frames pulled, with one and with several requests under way.

    Attributes:
        per_frame: records in each.
    """

    frames: int
    per_frame: int
    at_once: tuple[int, ...]

    def run(self, rounds: int) -> Iterator[Result]:
        """Run both ways, round by round; every other round runs in reverse order."""
        for at_once in self.at_once:
            ways: Ways = {
                "bare loop": partial(_bare_pull, self.per_frame),
                "snk": partial(_pull, self.per_frame),
            }
            words = f"{self.frames:,} frames of {self.per_frame:,} records pulled"
            yield from _both(ways, self.frames, at_once, rounds, words)


@dataclass(frozen=True, slots=True)
class Large:
    """What pull and push hold in memory while one frame has very many records."""

    records: int

    def run(self, rounds: int) -> Iterator[Result]:
        """Pull and push it, round by round."""
        for number in range(1, rounds + 1):
            for name, figures in _large(self.records).items():
                yield Result(f"a frame of {self.records:,} records", name, number, figures)


@dataclass(frozen=True, slots=True)
class Idle:
    """What pull and push take while there is a frame a minute, without records."""

    seconds: float

    def run(self, rounds: int) -> Iterator[Result]:
        """Watch both, round by round."""
        for number in range(1, rounds + 1):
            for name, figures in _idle(self.seconds).items():
                yield Result("nothing to do", name, number, figures)


def _both(ways: Ways, count: int, at_once: int, rounds: int, words: str) -> Iterator[Result]:
    for number in range(1, rounds + 1):
        for name in ways if number % 2 else reversed(ways):
            yield Result(f"{words}, {at_once} at once", name, number, ways[name](count, at_once))


@contextmanager
def _server(per_frame: int) -> Iterator[int]:
    """Source and sink as a process; their port."""
    port = free_port()
    with serving(["-c", _SERVER, str(port), str(per_frame)], f"http://127.0.0.1:{port}/report/POST"):
        yield port


@contextmanager
def serving(words: list[str], address: str) -> Iterator[None]:
    """A server as a process of Python, which answers at this address when the block begins.

    Args:
        words: what Python is given.
        address: asked until there is an answer 200.
    """
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    try:
        until(lambda: _answers(address))
        yield
    finally:
        process.kill()
        process.wait()


def _answers(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=30):  # noqa: S310 - an address of ours
        return True
    return False


def _told(port: int, method: str) -> tuple[int, float]:
    """How many requests came, and in how many seconds."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/report/{method}", timeout=30) as answer:
        count, first, last = json.load(answer)
    return count, last - first


@dataclass(frozen=True, slots=True)
class World:
    """A folder with settings and both spaces.

    Attributes:
        port: of source and sink.
        frames: how many have ended.
        frame_seconds: how long each is.
        base: where the first one starts, if not so long ago that all have just ended.
        source: the settings of another source.
    """

    folder: Path
    port: int
    frames: int
    frame_seconds: int = DAY_SECONDS
    base: str = ""
    source: dict[str, object] | None = None

    def configure(self, *, pulled: int = 4, pushed: int = 1, batch: int = 0) -> None:
        """Write the settings."""
        spare = SPARE_SECONDS if self.frame_seconds == DAY_SECONDS else 0
        address = f"http://127.0.0.1:{self.port}/records"
        tables: dict[str, dict[str, object]] = {
            "pipeline": {
                "base": self.base or written(int(time.time()) - self.frames * self.frame_seconds - spare),
                "frame_seconds": self.frame_seconds,
                "space": str(self.folder / "space"),
                "delay_seconds": 0,
                "lookback_minutes": 0,
                "order": "oldest",
            },
            "pipeline.source": {
                **(self.source or {"url": address + "?from={start}&to={end}", "format": "jsonl"}),
                "requests_per_second": 100_000,
                "in_flight": pulled,
                "timeout_seconds": 600,
            },
            "pipeline.sink": {"url": address, "in_flight": pushed, "batch": batch},
        }
        text = ""
        for title, table in tables.items():
            text += f"[{title}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        (self.folder / "snk.toml").write_text(text)

    @contextmanager
    def running(self, name: str) -> Iterator[int]:
        """Pull or push as a process; its id."""
        words = ["pipeline", name, "--config", str(self.folder / "snk.toml")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "snk", *words], stdout=log, stderr=log, env=environment, cwd=self.folder
            )
        try:
            yield process.pid
        finally:
            process.kill()
            process.wait()

    def pull(self) -> None:
        """Pull all frames, so that they can be pushed."""
        with self.running("pull"):
            until(self.pulled)

    def count(self) -> int:
        """How many frames were pulled."""
        return len(list(self.folder.glob("space/sss/frames/[0-9]*")))

    def pulled(self) -> bool:
        """Whether all frames were pulled."""
        return self.count() >= self.frames

    def done(self) -> bool:
        """Whether all frames are done."""
        return len(list(self.folder.glob("space/rss/done/[0-9]*"))) >= self.frames


@contextmanager
def _world(frames: int, per_frame: int = PER_FRAME, frame_seconds: int = DAY_SECONDS) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="snk-bench-") as made, _server(per_frame) as port:
        yield World(Path(made), port, frames, frame_seconds)


def _bare_push(records: int, at_once: int) -> dict[str, float]:
    with _server(PER_FRAME) as port:
        subprocess.run([sys.executable, "-c", _BARE_PUSH, *map(str, (port, records, at_once, PER_FRAME))], check=True)
        count, seconds = _told(port, "POST")
    return {"per_second": count / seconds, "wrong": float(count != records)}


def _push(records: int, at_once: int) -> dict[str, float]:
    with _world(records // PER_FRAME) as world:
        world.configure(pushed=at_once)
        world.pull()
        with world.running("push") as pid:
            until(world.done)
            peak = peak_mib([pid])
        count, seconds = _told(world.port, "POST")
    return {"per_second": count / seconds, "wrong": float(count != records), "peak_mib": peak}


def _bare_pull(per_frame: int, frames: int, at_once: int) -> dict[str, float]:
    with _server(per_frame) as port:
        subprocess.run([sys.executable, "-c", _BARE_PULL, *map(str, (port, frames, at_once))], check=True)
        count, seconds = _told(port, "GET")
    return {"per_second": count / seconds, "wrong": float(count != frames)}


def _pull(per_frame: int, frames: int, at_once: int) -> dict[str, float]:
    with _world(frames, per_frame) as world:
        world.configure(pulled=at_once)
        with world.running("pull") as pid:
            until(world.pulled)
            peak = peak_mib([pid])
        count, seconds = _told(world.port, "GET")
    # Those that were asked for before the clock of the source was known are asked for once more.
    wrong = not frames <= count <= frames + at_once
    return {"per_second": count / seconds, "wrong": float(wrong), "peak_mib": peak}


def _large(records: int) -> dict[str, dict[str, float]]:
    with _world(1, records) as world:
        world.configure(pushed=4, batch=LARGE_BATCH)
        with world.running("pull") as pid:
            until(world.pulled)
            pulled = peak_mib([pid])
        with world.running("push") as pid:
            until(world.done)
            pushed = peak_mib([pid])
        proof = json.loads(next(world.folder.glob("space/rss/done/[0-9]*")).read_text())
    wrong = float(proof["count"] != records)
    return {"snk pull": {"peak_mib": pulled, "wrong": wrong}, "snk push": {"peak_mib": pushed, "wrong": wrong}}


def _idle(seconds: float) -> dict[str, dict[str, float]]:
    with _world(3, 0, 60) as world:
        world.configure()
        with world.running("pull") as pull, world.running("push") as push:
            until(world.done)
            time.sleep(WARM_SECONDS)
            watched = {"snk pull": psutil.Process(pull), "snk push": psutil.Process(push)}
            before = {name: sum(process.cpu_times()[:2]) for name, process in watched.items()}
            time.sleep(seconds)
            used = {name: sum(process.cpu_times()[:2]) - before[name] for name, process in watched.items()}
            peak = {name: peak_mib([process.pid]) for name, process in watched.items()}
    return {name: {"core_percent": 100 * used[name] / seconds, "peak_mib": peak[name]} for name in watched}


def until(true: Callable[[], bool]) -> None:
    """Wait for something.

    Raises:
        TimeoutError: it does not come.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {PATIENCE_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)


_RECORD = """
record = b'{"uid": "@-%d", "at": "@", "value": %d, "text": "0123456789012345678901234567890123456789"}'
"""
"""A record of a frame; ``@`` stands for where that starts."""

_SERVER = (
    _RECORD
    + """
import asyncio, json, sys, time
import uvloop
template = b"".join(record % (number, number) + b"\\n" for number in range(int(sys.argv[2])))
class Answers(asyncio.Protocol):
    seen = {b"POST": [0, 0.0, 0.0], b"GET": [0, 0.0, 0.0]}
    def connection_made(self, transport):
        self.transport, self.data = transport, b""
    def data_received(self, data):
        self.data += data
        while (end := self.data.find(b"\\r\\n\\r\\n")) >= 0:
            head = self.data[:end]
            at = head.lower().find(b"content-length:")
            size = int(head[at + 15:].split(b"\\r\\n", 1)[0]) if at >= 0 else 0
            if len(self.data) < end + 4 + size:
                return
            self.data = self.data[end + 4 + size:]
            self.answer(head)
    def answer(self, head):
        method, target, _ = head.split(b"\\r\\n", 1)[0].split(b" ")
        if target.startswith(b"/report/"):
            self.send(b"200 OK", json.dumps(self.seen[target[8:]]).encode())
            return
        seen, now = self.seen[method], time.perf_counter()
        seen[:] = seen[0] + 1, seen[1] or now, now
        if method == b"POST":
            self.send(b"201 Created", b"{}")
        else:
            self.send(b"200 OK", template.replace(b"@", target[target.index(b"from=") + 5:][:20]))
    def send(self, status, body):
        self.transport.write(b"HTTP/1.1 %s\\r\\nContent-Length: %d\\r\\n\\r\\n" % (status, len(body)))
        self.transport.write(body)
async def main():
    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
uvloop.run(main())
"""
)
"""A source and a sink that cost as little as they can, so that what is measured is the pipeline."""

_BARE_PUSH = (
    _RECORD
    + """
import asyncio, sys
import aiohttp, uvloop
port, records, at_once, per_frame = map(int, sys.argv[1:])
async def main():
    numbers = iter(range(records))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:
        async def post():
            for number in numbers:
                start = b"2023-01-01T00:%02d:00Z" % (number // per_frame)
                body = (record % (number % per_frame, number % per_frame)).replace(b"@", start)
                key = f"{start.decode()}-{number % per_frame}"
                headers = {"Content-Type": "application/json", "Idempotency-Key": key}
                async with session.post(f"http://127.0.0.1:{port}/records", data=body, headers=headers) as answer:
                    await answer.read()
                    assert answer.status == 201
        await asyncio.gather(*(post() for _ in range(at_once)))
uvloop.run(main())
"""
)

_BARE_PULL = """
import asyncio, sys
import aiohttp, uvloop
port, frames, at_once = map(int, sys.argv[1:])
async def main():
    numbers = iter(range(frames))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:
        async def get():
            for number in numbers:
                start = f"2023-01-01T00:00:{number % 60:02}Z"
                target = f"http://127.0.0.1:{port}/records?from={start}&to={start}"
                async with session.get(target) as answer:
                    await answer.read()
                    assert answer.status == 200
        await asyncio.gather(*(get() for _ in range(at_once)))
uvloop.run(main())
"""
