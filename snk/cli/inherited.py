"""Reset what a process inherits from its parent, before anything else happens.

A shell, cron or a supervisor may leave behind ignored and blocked signals, closed standard streams, low limits, a umask
that denies access to the owner, or an encoding without arrows. None of these may change what SNK does.
"""

import io
import os
import signal
import sys
from typing import TextIO

from snk.embedded.tied import STANDARD_STREAMS, raise_limits

# The owner's bits of a file mode.
OWNER = 0o700


def settle() -> None:
    """Start from a known state, whatever the parent left behind."""
    open_standard_streams()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if it is ignored, the exit status of a child is lost
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    raise_limits()
    os.umask(os.umask(0) & ~OWNER)


def open_standard_streams() -> None:
    """Connect closed streams to the null device; make the others escape characters that their encoding lacks.

    Otherwise the next file or connection would get the descriptor of a closed stream, and receive whatever is printed.
    """
    for number in range(STANDARD_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor
    sys.stdin = sys.stdin or _nothing("r")
    sys.stdout = sys.stdout or _nothing("w")
    sys.stderr = sys.stderr or _nothing("w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _nothing(mode: str) -> TextIO:
    return open(os.devnull, mode, encoding="utf-8")  # type: ignore[return-value]  # noqa: PTH123 - kept until exit
