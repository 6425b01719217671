"""A sending and a receiving server for tests of the pipeline, and its processes."""

import asyncio
import json
import os
import signal
import subprocess
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from snk.core.canonical import Digest
from snk.pipeline.frame import Grid, Portion
from snk.pipeline.framefile import End, Making
from snk.pipeline.mapping import dumps
from snk.pipeline.space import Space
from tests.kit import sites
from tests.kit.commands import Command, run_command, start_command
from tests.kit.databases import DEADLINE_SECONDS

ROOT = Path(__file__).parent.parent.parent
GRID = Grid(1_795_564_800)
"""Minutes from 2026-11-25T00:00:00Z on."""
Answer = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def minutes_ago(minutes: float) -> datetime:
    """The start of a minute."""
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    return at.replace(second=0, microsecond=0)


def second_ago(seconds: float) -> datetime:
    """The start of a second."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).replace(microsecond=0)


async def raw(request: web.Request, answer: bytes) -> web.StreamResponse:
    """Send these bytes, and close the connection."""
    assert request.transport is not None
    request.transport.write(answer)
    request.transport.close()
    raise asyncio.CancelledError


def record(uid: str, at: datetime, value: Any = 1) -> dict[str, Any]:
    return {"uid": uid, "at": iso(at), "value": value}


def write_frame(space: Space, portion: Portion, *uids: str) -> None:
    """Write the file of a portion whose records are nothing but their uids."""
    making = Making(space.frames.file(portion))
    for uid in uids:
        making.add(uid, {"uid": uid}, dumps({"uid": uid}))
    making.finish(End(space.grid.iso(portion.frame), portion.part, making.digest.count, making.digest.hex, 40.0))


@dataclass(slots=True)
class Sender:
    """The sending server: answers with the records of a half-open window.

    Attributes:
        records: all there are.
        answer: what answers instead, if it returns something.
        ahead: by how many seconds its clock is ahead.
        asked: the windows that were asked for.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    answer: Answer | None = None
    ahead: float = 0.0
    asked: list[str] = field(default_factory=list)
    port: int = 0
    _sorted: list[dict[str, Any]] = field(default_factory=list)

    def between(self, start: str, end: str) -> list[dict[str, Any]]:
        if len(self._sorted) != len(self.records):
            self._sorted = sorted(self.records, key=_at)
        low, high = (bisect_left(self._sorted, bound, key=_at) for bound in (start, end))
        return self._sorted[low:high]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.query.get("from", ""))
        if self.answer and (special := await self.answer(request)):
            return special
        found = self.between(request.query["from"], request.query["to"])
        return web.json_response({"items": found}, headers={"Date": self.date})

    @property
    def now(self) -> datetime:
        """What its clock shows."""
        return datetime.now(UTC) + timedelta(seconds=self.ahead)

    @property
    def date(self) -> str:
        """The same as HTTP has it."""
        return format_datetime(self.now, usegmt=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/records?from={{start}}&to={{end}}"


@dataclass(slots=True)
class Receiver:
    """The receiving server: stores each record once by its Idempotency-Key.

    Attributes:
        stored: records by key.
        received: every key that came, in order.
        answer: what answers instead, if it returns something.
        twice: keys that came again after they had been acknowledged.
    """

    stored: dict[str, Any] = field(default_factory=dict)
    received: list[str] = field(default_factory=list)
    answer: Answer | None = None
    twice: list[str] = field(default_factory=list)
    most_at_once: int = 0
    port: int = 0
    _now: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            if self.answer and (special := await self.answer(request)):
                return special
            return self.store(request.headers["Idempotency-Key"].strip('"'), json.loads(await request.read()))
        finally:
            self._now -= 1

    def store(self, key: str, body: Any) -> web.Response:
        self.received.append(key)
        if key in self.stored:
            self.twice.append(key)
        self.stored.setdefault(key, body)
        return web.json_response({"key": key}, status=201)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/records"


@asynccontextmanager
async def serving(server: Sender | Receiver) -> AsyncIterator[None]:
    """Serve on a port of its own; on the same one as before if it served already."""
    async with sites.serving(server, "*", "/records", 2**30):
        yield


@dataclass(slots=True)
class Pair:
    """A pipeline in a folder of its own.

    Attributes:
        folder: with the file of settings and both spaces.
    """

    folder: Path
    base: datetime
    sender: Sender
    receiver: Receiver
    seconds: int = 60
    processes: list[Command] = field(default_factory=list)

    def configure(
        self,
        *,
        source: dict[str, Any] | None = None,
        sink: dict[str, Any] | None = None,
        mapping: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Path:
        """Write the settings: those of tests, and those given."""
        tables: list[tuple[str, dict[str, Any]]] = [
            (
                "pipeline",
                {
                    "space": str(self.space),
                    "frame_seconds": self.seconds,
                    "delay_seconds": 0,
                    "lookback_minutes": 0,
                    "port": 0,
                    **settings,
                },
            ),
            (
                "pipeline.source",
                {
                    "url": self.sender.url,
                    "records": "items",
                    "requests_per_second": 1000,
                    **(source or {}),
                },
            ),
            ("pipeline.mapping", mapping or {}),
            ("pipeline.sink", {"url": self.receiver.url, "retry_first_ms": 10, "retry_most_ms": 200, **(sink or {})}),
        ]
        text = ""
        for name, values in tables:
            text += f"[{name}]\n"
            if name == "pipeline":
                text += f"base = {iso(self.base)}\n"
            text += "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())
        file = self.folder / "snk.toml"
        file.write_text(text)
        return file

    @property
    def space(self) -> Path:
        return self.folder / "space"

    def start(self, *words: str) -> Command:
        """Start a command of the pipeline; its log is in the folder."""
        config, log = str(self.folder / "snk.toml"), self.folder / f"{words[0]}.log"
        process = start_command("pipeline", *words, "--config", config, log=log)
        self.processes.append(process)
        return process

    def run(self, *words: str, code: int | None = None) -> str:
        """Run a command of the pipeline to its end; return what it printed."""
        done = run_command("pipeline", *words, "--config", str(self.folder / "snk.toml"))
        assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout if done.returncode != 2 else done.stderr

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--json"))
        return found

    def done(self) -> dict[str, dict[str, Any]]:
        """What the Done files say, by their names."""
        folder = self.space / "rss/done"
        found = {file.stem: json.loads(file.read_text()) for file in folder.glob("[0-9]*.json")}
        for file in folder.glob("[0-9]*.jsonl"):
            for line in file.read_text().splitlines():
                each = json.loads(line)
                part = f".{each['part']}" if each["part"] else ""
                found[_compact(each["frame"]) + part] = each
        return found

    def finished(self) -> set[str]:
        """The names of the frames that have a Done file; supplements are left out."""
        folder = self.space / "rss/done"
        found = {file.name.removesuffix(".json") for file in folder.glob("[0-9]*Z.json")}
        for file in folder.glob("[0-9]*.jsonl"):
            each = map(json.loads, file.read_text().splitlines())
            found |= {_compact(done["frame"]) for done in each if not done["part"]}
        return found

    def name(self, frame: int) -> str:
        """How the files of a frame are named."""
        return _compact(iso(self.start_of(frame)))

    def start_of(self, frame: int) -> datetime:
        return self.base + timedelta(seconds=frame * self.seconds)

    def prove(self, frames: int, mapped: Callable[[Any], Any] = lambda each: each) -> None:
        """Check that the proofs of the first frames fit what the sender has, and nothing is left of them."""
        found: dict[str, list[dict[str, Any]]] = {}
        for name, done in self.done().items():
            found.setdefault(name.partition(".")[0], []).append(done)
        for frame in range(frames):
            window = iso(self.start_of(frame)), iso(self.start_of(frame + 1))
            expected = Digest.of(map(mapped, self.sender.between(*window)))
            proven = Digest()
            for done in found[self.name(frame)]:
                assert (done["frame"], done["dropped"]) == (window[0], "")
                proven.merge(Digest(done["count"], int(done["digest"], 16)))
            assert (window, proven) == (window, expected)

    def waiting(self) -> list[str]:
        """The pulled frames that are visible, by the names of their files."""
        return [file.name for file in (self.space / "sss/frames").glob("[0-9]*")]

    async def all_arrived(self, frames: int, seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until so many frames are done; each record is with the receiver, and no file of them is left."""
        names = {self.name(frame) for frame in range(frames)}
        await self.until(lambda: names <= self.finished(), seconds)
        await self.until(lambda: not self.leftover(frames), seconds)
        end = iso(self.start_of(frames))
        assert {each["uid"] for each in self.sender.records if each["at"] < end} <= set(self.receiver.stored)
        self.prove(frames)

    def leftover(self, frames: int) -> list[Path]:
        """Files with data or uids of the first frames."""
        names = {self.name(frame) for frame in range(frames)}
        found = [*(self.space / "sss/frames").iterdir(), *(self.space / "rss/uids").iterdir()]
        return [file for file in found if file.name.lstrip(".").partition(".")[0] in names]

    def set_aside(self) -> dict[str, str]:
        """The reasons of all frames in quarantine, by their names."""
        files = [*self.space.glob("sss/quarantine/[0-9]*"), *self.space.glob("rss/quarantine/[0-9]*")]
        return {file.name.removesuffix(".json"): json.loads(file.read_text())["reason"] for file in files}

    def told(self, own: str) -> dict[str, Any]:
        """What a process tells: ``sss`` or ``rss``; nothing if it has not told anything yet, or is about to."""
        try:
            found: dict[str, Any] = json.loads((self.space / own / "status.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {"at": 0.0, "trouble": "", "failing": {}, "ambiguous": 0}
        return found

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    async def until(self, fact: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until something is so; the limit is for tests that fail."""
        end = time.monotonic() + seconds
        while True:
            began = time.monotonic()
            if fact():
                return
            assert time.monotonic() < end, self.logs()[-5000:]
            for process in self.processes:
                assert process.poll() in (None, 0, -signal.SIGKILL), self.logs()[-5000:]
            await asyncio.sleep(max(0.02, 3 * (time.monotonic() - began)))

    def logs(self) -> str:
        return "\n".join(file.read_text() for file in sorted(self.folder.glob("*.log")))

    def kill(self, process: Command) -> None:
        """End a process as a power failure does, but for the disk."""
        process.kill()
        process.wait()
        self.processes.remove(process)

    async def end(self) -> None:
        """End all processes, while the servers go on to answer them."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                await asyncio.to_thread(process.wait, 10)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                raise


def _compact(at: str) -> str:
    return at.replace("-", "").replace(":", "")


def _at(each: dict[str, Any]) -> str:
    at: str = each["at"]
    return at


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)
