"""Asking a running daemon over HTTP."""

import json
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from snk.errors import ServiceUnfit
from snk.http.guard import is_loopback

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask a daemon that listens everywhere
ANSWER_SECONDS = 3.0


def daemon_url(host: str, port: int) -> str:
    """Where a daemon that listens on this address of this machine is to be asked."""
    host = WILDCARDS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_url(url: str, token: str | None) -> None:
    """Refuse a URL, given by hand, that holds a password or would give the token away.

    Raises:
        ServiceUnfit: what is wrong with it, without quoting it.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if parts.scheme not in ("http", "https") or not host or "@" in url:
        raise ServiceUnfit("--url cannot be read", hint="It is to be like http://127.0.0.1:8089, without a password")
    if token and parts.scheme == "http" and not is_loopback(host):
        hint = "Ask by https://, through a tunnel to 127.0.0.1, or unset SNK_HTTP_TOKEN"
        raise ServiceUnfit(f"SNK_HTTP_TOKEN would cross the network to {host} for all to read", hint=hint)


def ask(url: str, token: str | None = None) -> dict[str, Any]:
    """What the daemon says of itself (``GET /status``).

    Raises:
        OSError: it does not answer, or somebody else does.
    """
    request = urllib.request.Request(f"{url}/status")  # noqa: S310 - the user's own daemon
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    # A proxy on the way to a daemon without TLS would read the token.
    plain = [urllib.request.ProxyHandler({})] if request.type == "http" else []
    with urllib.request.build_opener(*plain).open(request, timeout=ANSWER_SECONDS) as answer:
        try:
            told = json.load(answer)
        except ValueError as error:
            raise OSError("what answers there is not SNK") from error
    if not isinstance(told, dict) or "flows" not in told:
        raise OSError("what answers there is not SNK")
    return told
