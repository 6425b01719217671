"""The daemon and the load generator as child processes, pointed at embedded servers."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from snk.embedded.process import Child, spawn
from snk.pair.servers import EmbeddedPair

# They print unbuffered and in one encoding, whatever the terminal and the locale are.
PYTHON = {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}


def environment(pair: EmbeddedPair, http_port: int) -> dict[str, str]:
    """The environment in which ``snk`` and ``tst`` find these servers; full URLs override all other settings."""
    return {
        **os.environ,
        "FIRST_DB_URL": pair.first.dsn,
        "SECOND_DB_URL": pair.second.dsn,
        "REDIS_URL": pair.redis.dsn,
        "SNK_HTTP_HOST": "127.0.0.1",
        "SNK_HTTP_PORT": str(http_port),
        **PYTHON,
    }


def start_daemon(pair: EmbeddedPair, values: Mapping[str, str]) -> Child:
    """Start ``snk run --init``, logging into the state folder."""
    return daemon_logging_to(pair.state / "daemon.log", values)


def daemon_logging_to(log: Path, values: Mapping[str, str], last_word: int = signal.SIGTERM) -> Child:
    """Start ``snk run --init``, logging into a file of its own.

    Args:
        log: truncated first.
        values: the environment.
        last_word: the signal that ends it when its parent is gone; a daemon that may be stopped then obeys only
            SIGKILL.
    """
    return _python("snk", ["run", "--init"], log, values, last_word)


def start_tst(pair: EmbeddedPair, values: Mapping[str, str], rows: int | None) -> Child:
    """Start ``tst`` for ``rows`` rows, or without end if None; it prints into the state folder."""
    return _python("tst", ["--quiet", *(["--rows", str(rows)] if rows else [])], pair.state / "tst.log", values)


def _python(
    module: str, arguments: list[str], log: Path, values: Mapping[str, str], last_word: int = signal.SIGTERM
) -> Child:
    log.write_bytes(b"")
    command = [sys.executable, "-m", module, *arguments]
    return spawn(command, Path.cwd(), log, None, last_word, environment={**values, **PYTHON})
