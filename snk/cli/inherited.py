"""Puts in order what a process inherits from its parent, before anything else happens.

A shell, cron or a supervisor may leave behind ignored and blocked signals, closed standard streams, low limits, a umask
that shuts out its owner, an encoding without arrows. None of it may change what SNK does.
"""

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
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


def hear_ctrl_c() -> None:
    """Hear SIGINT even where it is ignored, as a shell has it for what it starts in the background."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def stop_signals() -> list[signal.Signals]:
    """What tells us to stop: SIGINT and SIGTERM, and SIGHUP unless ``nohup`` has it ignored."""
    lasts = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if lasts else [signal.SIGHUP])]


def when_told_to_stop(do: Callable[[], object]) -> None:
    """Have the running loop call this instead of breaking off."""
    import asyncio  # noqa: PLC0415 - commands without a loop start sooner without it

    for number in stop_signals():
        asyncio.get_running_loop().add_signal_handler(number, do)


@contextmanager
def interruptible() -> Iterator[None]:
    """Take every signal that tells us to stop for Ctrl-C, so that the block ends what it has started."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in stop_signals()}
    hear_ctrl_c()
    for number in before.keys() - {signal.SIGINT}:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_undisturbed() -> None:
    """Hear no more signals that tell us to stop: everything is being ended, which nothing should break off."""
    for number in stop_signals():
        signal.signal(number, signal.SIG_IGN)


def _nothing(mode: str) -> TextIO:
    return open(os.devnull, mode, encoding="utf-8")  # type: ignore[return-value]  # noqa: PTH123 - until the end
