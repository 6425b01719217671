"""Asking a running daemon over HTTP."""

import json
import urllib.request
from typing import Any

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask a daemon that listens everywhere
ANSWER_SECONDS = 3.0


def daemon_url(host: str, port: int) -> str:
    """Where a daemon that listens on this address is to be asked."""
    host = WILDCARDS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def ask(url: str) -> dict[str, Any]:
    """What the daemon says of itself (``GET /status``).

    Raises:
        OSError: it does not answer, or somebody else does.
    """
    with urllib.request.urlopen(f"{url}/status", timeout=ANSWER_SECONDS) as answer:  # noqa: S310 - the user's own daemon
        try:
            told = json.load(answer)
        except ValueError as error:
            raise OSError("what answers there is not SNK") from error
    if not isinstance(told, dict) or "flows" not in told:
        raise OSError("what answers there is not SNK")
    return told
