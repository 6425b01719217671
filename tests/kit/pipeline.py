"""A sending and a receiving server for tests of the pipeline, and its processes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from aiohttp import web

ROOT = Path(__file__).parent.parent.parent
Answer = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def minutes_ago(minutes: float) -> datetime:
    """The start of a minute."""
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    return at.replace(second=0, microsecond=0)


def record(uid: str, at: datetime, value: Any = 1) -> dict[str, Any]:
    return {"uid": uid, "at": iso(at), "value": value}


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

    def between(self, start: str, end: str) -> list[dict[str, Any]]:
        return [each for each in self.records if start <= each["at"] < end]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.query.get("from", ""))
        if self.answer and (special := await self.answer(request)):
            return special
        found = self.between(request.query["from"], request.query["to"])
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=self.ahead), usegmt=True)
        return web.json_response({"items": found}, headers={"Date": date})

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
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/records", server.handle)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", server.port, reuse_address=True)
    await site.start()
    server.port = server.port or runner.addresses[0][1]
    try:
        yield
    finally:
        await runner.cleanup()


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
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

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
                    "space": str(self.folder / "space"),
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

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command of the pipeline; its log is in the folder."""
        with (self.folder / f"{words[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "snk", "pipeline", *words, "--config", str(self.folder / "snk.toml")],
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )
        self.processes.append(process)
        return process

    def run(self, *words: str, code: int | None = None) -> str:
        """Run a command of the pipeline to its end; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "snk", "pipeline", *words, "--config", str(self.folder / "snk.toml")],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            timeout=120,
        )
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
                found[each["frame"].replace("-", "").replace(":", "") + part] = each
        return found

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    async def until(self, fact: Callable[[], object], seconds: float = 60.0) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(seconds):
            while not fact():
                for process in self.processes:
                    assert process.poll() in (None, 0, -signal.SIGKILL, -signal.SIGTERM), self.logs()
                await asyncio.sleep(0.02)

    def logs(self) -> str:
        return "\n".join(file.read_text() for file in sorted(self.folder.glob("*.log")))

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                raise


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)
