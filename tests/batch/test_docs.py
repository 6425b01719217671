"""What docs/batch.md shows works as it is written: from an empty database to a run that is complete."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from snk.embedded.process import free_port
from snk.pair.servers import EmbeddedPair
from tests.kit.databases import until
from tests.kit.serve import fresh_database

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs/batch.md").read_text()
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PORTS = ("8092", "8094", "8095")
STARTED = re.compile(r" >\S+ 2>&1 &$")
RUN = "$ snk batch trigger"
UNLIKE = {
    r"of version \d+": "of version N",
    r"\(127\.0\.0\.1:\d+/\w+\)": "(DATABASE)",
    r"\d{4}-\d\d-\d\dT[\d:]+Z": "TIME",
    r"in \d+(\.\d)? s": "in N s",
}


def blocks(section: str) -> list[tuple[str, str]]:
    """The language and the text of each block of a section."""
    return BLOCK.findall(DOCS.partition(f"\n## {section}\n")[2].partition("\n## ")[0])


def alike(text: str) -> str:
    """What a command prints, without what differs from one database to another."""
    for pattern, instead in UNLIKE.items():
        text = re.sub(pattern, instead, text)
    return text


@dataclass
class Terminal:
    """A shell in a folder with the files that the section shows, on a database of its own.

    Attributes:
        folder: with these files.
        environment: of the commands.
        ports: what each port of the documentation is here.
        started: the commands that go on.
    """

    folder: Path
    environment: dict[str, str]
    ports: dict[str, str] = field(default_factory=lambda: {each: str(free_port()) for each in PORTS})
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def here(self, text: str) -> str:
        """A text of the documentation with the ports of this test."""
        for port, own in self.ports.items():
            text = text.replace(f":{port}", f":{own}")
        return text

    def write(self, more: str = "") -> None:
        """Write the files; the settings with more at their end, and with ports, which the documentation leaves out."""
        for _, text in blocks("Ten minutes"):
            if found := re.match(r"(?:#|--) (\S+\.(?:toml|sql))\n", text):
                (self.folder / found[1]).write_text(self.here(text))
        settings = self.folder / "snk.toml"
        text = settings.read_text()
        for table, port in zip(("serve", "batch", "consumer"), PORTS, strict=True):
            text = re.sub(rf"^\[{table}\].*$", rf"\g<0>\nport = {self.ports[port]}", text, flags=re.MULTILINE)
        settings.write_text(text + more)

    def run(self, command: str) -> str:
        """What a command prints."""
        if command.startswith("export DATABASE_URL="):
            return ""
        if STARTED.search(command):
            words = command.removesuffix("&")
            self.started.append(
                subprocess.Popen(["bash", "-c", f"exec {words}"], cwd=self.folder, env=self.environment)
            )
            return ""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def end(self) -> None:
        """End what goes on."""
        for each in self.started:
            each.send_signal(signal.SIGKILL)
            each.wait()

    @property
    def logs(self) -> str:
        return "\n".join(path.read_text() for path in self.folder.glob("*.log"))


@pytest.fixture
def terminal(tmp_path: Path, servers: EmbeddedPair) -> Iterator[Terminal]:
    with fresh_database(servers) as dsn:
        psql = tmp_path / "bin/psql"
        psql.parent.mkdir()
        psql.symlink_to(servers.first.executable("psql"))
        folders = f"{psql.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        more = {"PATH": folders, "PYTHONPATH": str(ROOT), "DATABASE_URL": dsn}
        made = Terminal(tmp_path, {**os.environ, **more})
        yield made
        made.end()


async def shown(terminal: Terminal, *, until_equal: bool, session: str) -> None:
    """Run the commands of a session; each prints what the documentation says, at once or after a while."""
    for part in session.split("$ ")[1:]:
        command, _, expected = part.partition("\n")
        said: list[str] = []

        async def as_told(command: str = command, expected: str = expected, said: list[str] = said) -> bool:
            said.append(await asyncio.to_thread(terminal.run, command))
            return alike(said[-1]) == alike(expected)

        if until_equal:
            await until(as_told, f"`{command}` to print what the documentation says")
        else:
            assert await as_told(), (command, said[-1], terminal.logs)


@pytest.mark.long
async def test_the_ten_minutes_lead_to_a_complete_run(terminal: Terminal) -> None:
    terminal.write()
    first, then = [text for kind, text in blocks("Ten minutes") if not kind]
    await shown(terminal, session=first, until_equal=False)
    await shown(terminal, session=then, until_equal=True)
    assert shutil.which("snk", path=terminal.environment["PATH"])


@pytest.mark.long
@pytest.mark.parametrize("way", ["with a token", "with keys"])
async def test_a_platform_and_a_consumer_trust_each_other_as_shown(terminal: Terminal, way: str) -> None:
    shown_here = [text for _, text in blocks("The API") if re.match(rf"# snk.toml of the \w+, {way}\n", text)]
    assert len(shown_here) == 2
    folder = terminal.folder
    more = "\n".join(shown_here).replace("https://platform.example:8094", "http://127.0.0.1:8094")
    terminal.write(terminal.here(more.replace("/etc/snk/", f"{folder}/")))
    terminal.environment["CONSUMER_TOKEN"] = "a token that both know".replace(" ", "-")
    first = next(text for kind, text in blocks("Ten minutes") if not kind)
    if way == "with keys":
        for words, made, copy in (
            ("batch", "keys", "batch-jwks.json"),
            ("batch consumer", "consumer-keys", "consumer-jwks.json"),
        ):
            assert "new tokens are signed with" in terminal.run(f"snk {words} keys rotate")
            shutil.copy(folder / made / "jwks.json", folder / copy)
    # The one call only begins the work, so the run is complete because the report was let in.
    tasks = folder / "tasks.toml"
    tasks.write_text(tasks.read_text().replace("interval_seconds = 2 ", "interval_seconds = 3600 "))
    await shown(terminal, session=first, until_equal=False)

    async def complete() -> bool:
        return "COMPLETED" in await asyncio.to_thread(terminal.run, "snk batch runs")

    await until(complete, "the report to arrive")
    assert " 401" not in terminal.logs
