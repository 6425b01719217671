"""Programs whose parent leaves something behind: ignored and blocked signals, limits, variables, closed streams.

As a script it takes up one such heritage and becomes a program: ``heirs.py "blocked signals" snk up``.
"""

import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

SCRIPT = str(Path(__file__).resolve())
FILE_BYTES = 1_000_000
OPEN_FILES = 40


def ignore_signals() -> None:
    for number in signal.valid_signals():
        with suppress(OSError):  # SIGKILL and SIGSTOP
            signal.signal(number, signal.SIG_IGN)


def block_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def lower_limits() -> None:
    for limit, soft in ((resource.RLIMIT_FSIZE, FILE_BYTES), (resource.RLIMIT_NOFILE, OPEN_FILES)):
        resource.setrlimit(limit, (soft, resource.getrlimit(limit)[1]))


def set_umask() -> None:
    os.umask(0o077)


def speak_ascii() -> None:
    os.environ |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}


def point_elsewhere() -> None:
    os.environ |= {"PGSSLMODE": "verify-full", "PGTARGETSESSIONATTRS": "standby", "PGPASSFILE": "/nowhere"}
    os.environ |= {"PGHOST": "nowhere.example", "PGOPTIONS": "-c search_path=nowhere", "TMPDIR": "/nowhere"}


def close_streams() -> None:
    for number in range(3):
        os.close(number)


HERITAGES: dict[str, Callable[[], None]] = {
    "ignored signals": ignore_signals,
    "blocked signals": block_signals,
    "low limits": lower_limits,
    "a strict umask": set_umask,
    "an ASCII locale": speak_ascii,
    "variables of another server": point_elsewhere,
    "closed streams": close_streams,
}

if __name__ == "__main__":
    HERITAGES[sys.argv[1]]()
    os.execv(sys.argv[2], sys.argv[2:])
