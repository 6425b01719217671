"""A platform on a database of its own, and consumers whose answers a test decides."""

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import tomli_w
from aiohttp import web

from tests.kit import sites
from tests.kit.commands import Command, run_command, start_command
from tests.kit.databases import Database, until

ROOT = Path(__file__).parent.parent.parent
Says = Callable[[dict[str, Any]], Any]
"""What a consumer answers to a call: a dict, a status, or an awaitable of one."""


def told(call: dict[str, Any], state: str = "COMPLETED", **files: Any) -> dict[str, Any]:
    """A report of a run."""
    return {"fence": call["fence"], "state": state, "files": files}


@dataclass
class Consumer:
    """A consumer.

    Attributes:
        says: what it answers to a call.
        calls: all that came.
        authorizations: what each of them presented; empty for nothing.
        most_at_once: the most calls of one run that were under way together.
        stops: uid and fence of each run that it was told to stop.
        stop_says: the status that it answers to that.
    """

    says: Says = told
    calls: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    most_at_once: int = 0
    stops: list[tuple[str, int]] = field(default_factory=list)
    stop_says: int = 200
    port: int = 0
    _under_way: dict[int, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/tasks/any"

    async def handle(self, request: web.Request) -> web.Response:
        if request.method == "DELETE":
            self.stops.append((request.query["uid"], int(request.query["fence"])))
            self.authorizations.append(request.headers.get("Authorization", ""))
            return web.Response(status=self.stop_says, text="so it is")
        call: dict[str, Any] = await request.json()
        self.calls.append(call)
        self.authorizations.append(request.headers.get("Authorization", ""))
        run = call["run"]
        self._under_way[run] = self._under_way.get(run, 0) + 1
        self.most_at_once = max(self.most_at_once, self._under_way[run])
        try:
            answer = self.says(call)
            if asyncio.iscoroutine(answer):
                answer = await answer
        finally:
            self._under_way[run] -= 1
        return web.Response(status=answer, text="no") if isinstance(answer, int) else web.json_response(answer)


@asynccontextmanager
async def serving(consumer: Consumer) -> AsyncIterator[Consumer]:
    """Serve on a port of its own; on the same one as before if it served already."""
    async with sites.serving(consumer, "*", "/v1/tasks/any"):
        yield consumer


@dataclass
class World:
    """A platform.

    Attributes:
        folder: with the file of settings, the definitions, and the logs of nodes.
    """

    folder: Path
    dsn: str
    nodes: dict[str, Command | subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def database(self) -> Database:
        return Database(self.dsn)

    @property
    def config(self) -> str:
        return str(self.folder / "snk.toml")

    def configure(self, **given: Any) -> None:
        """Write the settings."""
        settings = {"database": self.dsn, "poll_seconds": 0.1, "lease_seconds": 2.0, **given}
        Path(self.config).write_text(tomli_w.dumps({"batch": settings}))

    def define(self, text: str) -> None:
        """Make tasks and groups what a text says."""
        file = self.folder / "tasks.toml"
        file.write_text(text)
        done = self.snk("apply", str(file), "--yes")
        assert done.returncode == 0, done.stdout + done.stderr

    def snk(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return run_command("batch", *words, "--config", self.config, says=given)

    def start(self, name: str, port: int = 0, **environment: str) -> Command:
        """Start a node, with these variables beside those of the tests; its log is in the folder."""
        words = ["platform", "--name", name, "--port", str(port), "--config", self.config]
        log, variables = self.folder / f"{name}.log", {**os.environ, **environment}
        self.nodes[name] = node = start_command("batch", *words, log=log, environment=variables)
        return node

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    async def url(self, name: str) -> str:
        """Where the API of a node is, as soon as it answers."""
        found = ""

        async def answering() -> bool:
            nonlocal found
            assert self.nodes[name].poll() is None, self.log(name)
            ports = re.findall(r"http_listening .*port=(\d+)", self.log(name))
            if not ports:
                return False
            found = f"http://127.0.0.1:{ports[-1]}"
            try:
                async with aiohttp.ClientSession() as session, session.get(f"{found}/health") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        await until(answering, f"the API of {name}")
        return found

    async def runs(self) -> list[dict[str, Any]]:
        """All runs, oldest first."""
        rows = await self.database.rows("select to_json(run)::text from snk_batch.run order by id")
        return [json.loads(row[0]) for row in rows]

    def end(self) -> None:
        """End what was started."""
        for process in self.nodes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


@dataclass
class Api:
    """Requests of one client to the API of a node.

    Attributes:
        url: of the node.
        token: what the client presents; empty for nothing.
    """

    url: str
    session: aiohttp.ClientSession
    token: str = ""

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """The status and the body of an answer."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            given["Authorization"] = f"Bearer {self.token}"
        async with self.session.request(method, self.url + path, json=body, headers=given) as answer:
            kind = answer.content_type
            assert kind == ("application/json" if answer.status < 400 else "application/problem+json"), kind
            return answer.status, await answer.json()

    async def get(self, path: str) -> Any:
        """What is answered with 200."""
        status, found = await self("GET", path)
        assert status == 200, found
        return found
