"""Puts in order what a process inherits from its parent, before anything else happens.

A shell, cron or a supervisor may leave behind ignored and blocked signals, closed standard streams, low limits, a umask
that shuts out its owner, an encoding without arrows. None of it may change what SNK does.
"""

import io
import os
import signal
import sys
from typing import TextIO

from snk.embedded.tied import STANDARD_STREAMS, raise_limits

# Of a file's permissions, those that its owner has.
OWNER = 0o700


def settle() -> None:
    """Start from a known state, whatever the parent left behind."""
    open_standard_streams()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, nobody learns how a child ended
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    raise_limits()
    os.umask(os.umask(0) & ~OWNER)


def open_standard_streams() -> None:
    """Connect closed ones to nothing, and have the others print what their encoding lacks as an escape.

    The next file or connection would get the number of a closed one, and with it whatever is printed there.
    """
    for number in range(STANDARD_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the least number that is free
    sys.stdin = sys.stdin or _nothing("r")
    sys.stdout = sys.stdout or _nothing("w")
    sys.stderr = sys.stderr or _nothing("w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _nothing(mode: str) -> TextIO:
    return open(os.devnull, mode, encoding="utf-8")  # type: ignore[return-value]  # noqa: PTH123 - until the end
