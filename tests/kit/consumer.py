"""Consumers as processes, the datasets that they load, and the platform's part played by a plain client."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import aiohttp
from aiohttp import web

from snk.embedded.process import free_port
from tests.kit.commands import Command, run_command, start_command
from tests.kit.databases import DEADLINE_SECONDS, Database, until
from tests.kit.sites import opened

ROOT = Path(__file__).parent.parent.parent
DAY = {"from": "2026-11-25T00:00:00Z", "to": "2026-11-26T00:00:00Z"}
TRADES = (
    "create table {name}"
    " (uid text primary key, created_at timestamptz not null, value integer, price numeric, note text)"
)
FILL = (
    "insert into {name} select '{name}-' || lpad(g::text, 8, '0'), timestamptz '2026-11-25 00:00:00Z'"
    " + g * interval '1 ms', g, g * 1.25, 'note ' || g from generate_series(1, {count}) g"
)
COLUMNS = ["uid", "created_at", "value", "price", "note"]
ENDED = ("COMPLETED", "FAILED", "RECON_FAILED")


def dataset(name: str) -> dict[str, Any]:
    """How `snk serve` serves a table."""
    return {"table": f"public.{name}", "key": "uid", "time": "created_at", "read": COLUMNS}


def options(name: str, **changed: Any) -> dict[str, Any]:
    """How a file of ``http_table`` loads it."""
    given = {"target": f"public.loaded_{name}", "key": "uid", "columns": COLUMNS, **DAY, **changed}
    return {name: value for name, value in given.items() if value is not None}


@dataclass
class ConsumerProcess:
    """``snk batch consumer``.

    Attributes:
        path: a folder with further packages, besides those that are installed.
    """

    folder: Path
    dsn: str
    name: str = "one"
    settings: Mapping[str, Any] = field(default_factory=dict)
    more: str = ""
    path: str = ""
    port: int = field(default_factory=free_port)
    process: Command | None = None

    @property
    def config(self) -> str:
        return str(self.folder / f"{self.name}.toml")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / f"{self.name}.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it, without waiting until it answers."""
        settings = {"database": self.dsn, "port": self.port, **self.settings}
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in settings.items()]
        Path(self.config).write_text("[consumer]\n" + "".join(lines) + self.more)
        log, variables = self.folder / f"{self.name}.log", {**os.environ, "PYTHONPATH": self.path}
        self.process = start_command("batch", "consumer", "--config", self.config, log=log, environment=variables)

    def snk(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command of ``snk batch consumer`` to its end."""
        return run_command("batch", "consumer", *words, "--config", self.config)

    async def until_answering(self) -> None:
        async def answering() -> bool:
            assert self.process
            assert self.process.poll() is None, self.log
            try:
                async with aiohttp.ClientSession() as session, session.get(f"{self.url}/health") as answer:
                    return answer.status == 200
            except (aiohttp.ClientError, OSError):
                return False

        await until(answering, "the consumer to answer")

    async def started(self) -> "ConsumerProcess":
        """Start it, and wait until it answers."""
        self.start()
        await self.until_answering()
        return self

    def kill(self) -> None:
        """SIGKILL, at whatever it is doing."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process
        self.process.terminate()
        return self.process.wait(DEADLINE_SECONDS)


def call(files: Mapping[str, Any], run: int = 1, fence: int = 1, since: int = 1, **more: Any) -> dict[str, Any]:
    """What the platform asks."""
    return {
        "run": run,
        "uid": str(UUID(int=run)),
        "task": "prices",
        "fence": fence,
        "since": since,
        "files": files,
        "payload": {},
        "callback": "",
        **more,
    }


async def ask(url: str, body: Any, token: str = "") -> tuple[int, dict[str, Any]]:
    """Call a consumer as the platform does."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{url}/v1/tasks/prices", json=body) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def stop(url: str, run: int = 1, fence: int = 1, token: str = "", task: str = "prices") -> tuple[int, Any]:
    """Tell a consumer that a run has ended, as the platform does."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    query = {"uid": str(UUID(int=run)), "fence": str(fence)}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.delete(f"{url}/v1/tasks/{task}", params=query) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def until_ended(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Call again and again, until the run has ended; the report."""
    told: dict[str, Any] = {}

    async def ended() -> bool:
        nonlocal told
        _, told = await ask(url, body)
        return told.get("state") in ENDED

    await until(ended, f"the run to end, which is {told}")
    return told


@dataclass
class Callbacks:
    """What receives the reports of consumers.

    Attributes:
        says: the status of the answer to each report.
        came: all reports.
    """

    says: Callable[[dict[str, Any]], int] = lambda _: 200
    came: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/runs/1/callback"

    async def _take(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        self.came.append(body)
        self.authorizations.append(request.headers.get("Authorization", ""))
        return web.json_response({"outcome": "taken"}, status=self.says(body))

    async def start(self) -> None:
        self._runner = await opened(self.port, "POST", "/v1/runs/{run}/callback", self._take)

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
            self._runner = None


async def fill(provider: Database, consumer: Database, name: str, count: int) -> None:
    """A table of the provider with records, and an empty one that they are loaded into."""
    await provider.run(TRADES.format(name=name), f"create index on {name} (created_at)")
    await provider.run(FILL.format(name=name, count=count))
    await consumer.run(TRADES.format(name=f"loaded_{name}"))


@dataclass
class Front:
    """What stands before a provider: it counts requests, and answers some of them itself.

    Attributes:
        says: the status of an answer of its own, or None to pass a request on; it may wait.
        instead: the body of all answers, if it is not empty.
        came: path, query and header ``Authorization`` of each request.
    """

    behind: str
    says: Callable[[web.Request], Any] = lambda _: None
    instead: str = ""
    came: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    _runner: web.AppRunner | None = None
    _session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def pages(self, name: str) -> list[str | None]:
        """After which key each page of a dataset was asked for."""
        return [query.get("after") for path, query, _ in self.came if path == f"/v1/{name}"]

    async def _pass(self, request: web.Request) -> web.Response:
        self.came.append((request.path, dict(request.query), request.headers.get("Authorization", "")))
        status = self.says(request)
        if asyncio.iscoroutine(status):
            status = await status
        if status is not None:
            return web.Response(status=status, text="the front says so")
        if self.instead:
            return web.Response(text=self.instead)
        assert self._session
        async with self._session.get(self.behind + request.path_qs) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        self._runner = await opened(self.port, "GET", "/{tail:.*}", self._pass)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner
        assert self._session
        await self._runner.cleanup()
        await self._session.close()
