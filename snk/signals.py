"""The signals that tell a command to stop."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


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
