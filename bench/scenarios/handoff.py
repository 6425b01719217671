"""How fast logs are replayed to a backend, against a loop that posts the same bodies and keeps no account of them.

The backend answers every request at once, and tells how many came and when the first and the last did: the rate is
between these two, so the start of Python counts for nobody.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psutil

from bench.results import Result
from snk.embedded.process import free_port
from snk.handoff.names import log_of
from snk.handoff.record import Record, packed

VALUE_BYTES = 200
AT_ONCE = 32
LOOK_SECONDS = 0.05
FIRST = datetime(2023, 1, 1)  # noqa: DTZ001 - logs are named by local time
SETTINGS = {"threads": AT_ONCE, "release_interval_ms": 500, "checkdb_interval_ms": 500, "host": "127.0.0.1"}


def line(number: int) -> bytes:
    """One line: a put of a key of its own."""
    record = Record(1, 1, b"key:%d" % number, value=b"%0200d" % number)
    return b"[2023-01-01 00:00:00] [DEBUG] | " + b64encode(packed(record)) + b"\n"


@dataclass(frozen=True, slots=True)
class Replay:
    """Lines that wait for one backend, in one log or in many.

    Attributes:
        logs: the greater number of logs.
    """

    lines: int
    logs: int

    def run(self, rounds: int) -> Iterator[Result]:
        """Run all ways, round by round; every other round runs in reverse order."""
        ways: dict[str, Callable[[], dict[str, float]]] = {
            "bare loop": lambda: _bare(self.lines),
            "snk, one log": lambda: _replay(self.lines, 1),
            f"snk, {self.logs:,} logs": lambda: _replay(self.lines, self.logs),
            "snk, another backend dead": lambda: _replay(self.lines, 1, dead_lines=self.lines),
        }
        for number in range(1, rounds + 1):
            for name in ways if number % 2 else reversed(ways):
                yield Result(f"{self.lines:,} lines", name, number, ways[name]())


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the sync server needs while very many lines wait, and while none does.

    Attributes:
        seconds: how long it is watched.
    """

    lines: int
    logs: int
    seconds: float

    def run(self, rounds: int) -> Iterator[Result]:
        """Watch both, round by round."""
        for number in range(1, rounds + 1):
            yield Result(f"{self.lines:,} lines wait", "snk", number, _watched(self.lines, self.logs, self.seconds))
            yield Result("nothing waits", "snk", number, _watched(0, 0, self.seconds))


@contextmanager
def _backend() -> Iterator[int]:
    """A backend as a process; its port."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", _BACKEND, str(port)])
    try:
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/status.html", timeout=5).close()
                break
            time.sleep(LOOK_SECONDS)
        yield port
    finally:
        process.kill()
        process.wait()


def _told(port: int) -> tuple[int, float]:
    """How many writes came, and in how many seconds."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/report", timeout=30) as answer:
        count, first, last = json.load(answer)
    return count, last - first


def _bare(lines: int) -> dict[str, float]:
    with _backend() as port:
        subprocess.run([sys.executable, "-c", _BARE, str(port), str(lines), str(AT_ONCE)], check=True)
        count, seconds = _told(port)
    return {"lines_per_second": count / seconds, "wrong": float(count != lines), "peak_mib": 0.0}


def _replay(lines: int, logs: int, dead_lines: int = 0) -> dict[str, float]:
    with _backend() as port, _server(port, lines, logs, dead_lines, once=True) as process:
        peak = 0
        while process.poll() is None:
            with contextlib.suppress(psutil.Error):
                peak = max(peak, psutil.Process(process.pid).memory_info().rss)
            time.sleep(LOOK_SECONDS)
        count, seconds = _told(port)
    wrong = count != lines or process.returncode != bool(dead_lines)
    return {"lines_per_second": count / seconds, "wrong": float(wrong), "peak_mib": peak / 2**20}


def _watched(lines: int, logs: int, seconds: float) -> dict[str, float]:
    with _backend() as port, _server(port, lines, logs, 0, once=False) as process:
        watched = psutil.Process(process.pid)
        time.sleep(3.0)  # the start of Python
        peak, before, began = 0, sum(watched.cpu_times()[:2]), time.monotonic()
        while time.monotonic() < began + seconds:
            peak = max(peak, watched.memory_info().rss)
            time.sleep(LOOK_SECONDS)
        used = sum(watched.cpu_times()[:2]) - before
        count, _ = _told(port)
    return {
        "peak_mib": peak / 2**20,
        "core_percent": 100 * used / seconds,
        "wrong": float(bool(lines) and count >= lines),
    }


@contextmanager
def _server(port: int, lines: int, logs: int, dead_lines: int, *, once: bool) -> Iterator[subprocess.Popen[bytes]]:
    """The sync server as a process, with lines that wait for this port, and for one on which nobody listens."""
    with tempfile.TemporaryDirectory(prefix="snk-bench-") as made:
        folder = Path(made)
        _write(folder / "logs" / f"127.0.0.1:{port}", lines, logs)
        if dead_lines:
            _write(folder / "logs" / f"127.0.0.1:{free_port()}", dead_lines, 1)
        settings: Mapping[str, object] = {
            **SETTINGS,
            "logs": str(folder / "logs"),
            "state": str(folder / "state"),
            "port": free_port(),
        }
        config = folder / "snk.toml"
        config.write_text("[handoff]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
        words = ["handoff", "run", "--config", str(config), *(["--once"] if once else [])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen([sys.executable, "-m", "snk", *words], stderr=subprocess.DEVNULL, env=environment)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _write(folder: Path, lines: int, logs: int) -> None:
    folder.mkdir(parents=True)
    for number in range(logs):
        some = range(lines * number // logs, lines * (number + 1) // logs)
        with (folder / log_of(FIRST + timedelta(minutes=number))).open("wb") as log:
            log.writelines(map(line, some))


_BACKEND = """
import asyncio, json, sys, time
import uvloop
ok = b"HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\nok\\n"
class Answers(asyncio.Protocol):
    count, first, last = 0, 0.0, 0.0
    def connection_made(self, transport):
        self.transport, self.data = transport, b""
    def data_received(self, data):
        self.data += data
        while (end := self.data.find(b"\\r\\n\\r\\n")) >= 0:
            head = self.data[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15:].split(b"\\r\\n", 1)[0]) if at >= 0 else 0
            if len(self.data) < end + 4 + size:
                return
            self.data = self.data[end + 4 + size:]
            if head.startswith(b"post"):
                Answers.last = time.perf_counter()
                Answers.first = Answers.first or Answers.last
                Answers.count += 1
                self.transport.write(ok)
            elif head.startswith(b"get /report"):
                body = json.dumps([Answers.count, Answers.first, Answers.last]).encode()
                self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
            else:
                self.transport.write(ok)
async def main():
    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
uvloop.run(main())
"""
"""A backend that costs as little as it can, so that what is measured is the one who sends."""

_BARE = """
import asyncio, sys
import aiohttp, uvloop
port, lines, at_once = map(int, sys.argv[1:])
async def main():
    numbers = iter(range(lines))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:
        async def post():
            for number in numbers:
                target = f"http://127.0.0.1:{port}/hustdb/put?key=key%3A{number}&ver=1&is_dup=true"
                async with session.post(target, data=b"%0200d" % number) as answer:
                    await answer.read()
                    assert answer.status == 200
        await asyncio.gather(*(post() for _ in range(at_once)))
uvloop.run(main())
"""
