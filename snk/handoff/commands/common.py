"""What several commands share: options, settings, and how the running server is asked."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from snk.core.backoff import Backoff
from snk.errors import SettingsError
from snk.handoff.names import is_backend
from snk.handoff.pool import Sending
from snk.handoff.running import running_status
from snk.handoff.server import Serving
from snk.handoff.settings import Handoff

HostPort = Annotated[str, typer.Argument(metavar="HOST:PORT", help="The address of a backend, as its folder is named.")]


def serving_of(settings: Handoff) -> Serving:
    """How the server works, as the settings say."""
    retry = Backoff(settings.retry_first_ms / 1000, settings.retry_most_ms / 1000)
    sending = Sending(settings.coding, settings.rules, settings.tries, settings.timeout_ms / 1000, retry)
    return Serving(
        settings.logs,
        sending,
        settings.threads,
        settings.authorization(),
        settings.tls,
        settings.checkdb_interval_ms / 1000,
        settings.checklog_interval_ms / 1000,
        settings.release_interval_ms / 1000,
        settings.line_bytes_max,
    )


def checked_backend(name: str) -> str:
    """A backend's address.

    Raises:
        SettingsError: it is none.
    """
    if not is_backend(name):
        raise SettingsError(
            f"{name!r} is not the address of a backend", hint="Write it as HOST:PORT, such as 10.0.0.7:9998"
        )
    return name


def status_of(settings: Handoff) -> dict[str, Any]:
    """The status of the running server.

    Raises:
        ServiceUnfit: it does not answer.
    """
    return running_status(settings.host, settings.port)


@contextmanager
def printing() -> Iterator[None]:
    """End quietly, with exit code 0, if the reader of the output, such as `head`, has read enough."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())  # what is left in the buffer is written when Python ends
        raise typer.Exit from None
