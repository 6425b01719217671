"""What several commands share: options, settings, and how the running server is asked."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Any

import typer

from snk.core.backoff import Backoff
from snk.errors import ServiceUnfit, SettingsError
from snk.handoff.names import is_backend
from snk.handoff.pool import Sending
from snk.handoff.server import Plan
from snk.handoff.settings import Handoff

Config = Annotated[Path | None, typer.Option(help="File of settings; default: SNK_CONFIG, or snk.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
HostPort = Annotated[str, typer.Argument(metavar="HOST:PORT", help="The address of a backend, as its folder is named.")]
ASK_SECONDS = 5.0


def plan_of(settings: Handoff) -> Plan:
    """How the server works, as the settings say."""
    retry = Backoff(settings.retry_first_ms / 1000, settings.retry_most_ms / 1000)
    sending = Sending(settings.coding, settings.rules, settings.tries, settings.timeout_ms / 1000, retry)
    return Plan(
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


def asked(settings: Handoff) -> dict[str, Any]:
    """The status of the running server.

    Raises:
        ServiceUnfit: it does not answer.
    """
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 - where it listens on all addresses
    url = f"http://{host}:{settings.port}/status"
    try:
        with urllib.request.urlopen(url, timeout=ASK_SECONDS) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except (urllib.error.URLError, OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        hint = "Is `snk handoff run` running, with the same settings?"
        raise ServiceUnfit(f"The sync server does not answer at {url}: {why}", hint=hint) from None
