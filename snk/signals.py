"""The signals that tell a command to stop."""

import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

T = TypeVar("T")


def hear_ctrl_c() -> None:
    """Handle SIGINT even where it is ignored, as shells arrange for processes that they start in the background."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def stop_signals() -> list[signal.Signals]:
    """The signals that stop a command: SIGINT and SIGTERM, and SIGHUP unless ``nohup`` made the process ignore it."""
    lasts = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if lasts else [signal.SIGHUP])]


def when_told_to_stop(do: Callable[[], object]) -> None:
    """Make the running loop call ``do`` on a stop signal, instead of ending at once."""
    import asyncio  # noqa: PLC0415 - commands without a loop start faster without it

    for number in stop_signals():
        asyncio.get_running_loop().add_signal_handler(number, do)


def when_told_to_read_again(do: Callable[[], object], stop: Callable[[], object]) -> None:
    """Make the running loop call ``do`` on SIGHUP; ``stop`` if SIGHUP says that the terminal has closed, without nohup.

    To be called after `when_told_to_stop`, which gives SIGHUP another meaning.
    """
    import asyncio  # noqa: PLC0415 - as above

    stays = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN or not _has_terminal()

    def hang_up() -> None:
        if stays or _has_terminal():
            do()
        else:
            stop()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal: one that has closed cannot be opened."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


async def stoppable(run: Coroutine[None, None, T]) -> T:
    """Run to the end; a stop signal ends it early, as Ctrl-C does.

    Raises:
        KeyboardInterrupt: it was stopped.
    """
    import asyncio  # noqa: PLC0415 - as above

    task = asyncio.create_task(run)
    when_told_to_stop(task.cancel)
    await asyncio.wait((task,))
    if task.cancelled():
        raise KeyboardInterrupt
    return task.result()


@contextmanager
def interruptible() -> Iterator[None]:
    """Treat every stop signal as Ctrl-C, so that the block can end what it started."""

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
    """Ignore stop signals from now on: everything is being ended, and nothing should interrupt that."""
    for number in stop_signals():
        signal.signal(number, signal.SIG_IGN)
