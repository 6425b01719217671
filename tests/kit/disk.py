"""The disk, which a test can make slow, or let fail."""

import errno
import os
import threading
from pathlib import Path

import pytest


class Disk:
    """The calls of fsync, which can be made to wait, and to fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.forced: list[str] = []
        self.entered = threading.Semaphore(0)
        self.may_go = threading.Event()
        self.may_go.set()
        self.fails = False
        self._really = os.fsync
        monkeypatch.setattr(os, "fsync", self._fsync)

    def _fsync(self, descriptor: int) -> None:
        self.forced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        self.entered.release()
        self.may_go.wait()
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._really(descriptor)
