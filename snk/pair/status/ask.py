"""Asking a running daemon over HTTP."""

import urllib.request
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from snk.errors import ServiceUnfit
from snk.http.guard import is_loopback
from snk.pair.core.report import DaemonStatus

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask a daemon that listens everywhere
ANSWER_SECONDS = 3.0

_STATUS = TypeAdapter(DaemonStatus)


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
        raise ServiceUnfit("--url is not a valid URL", hint="Use a URL like http://127.0.0.1:8089, without a password")
    if token and parts.scheme == "http" and not is_loopback(host):
        hint = "Use https:// or a tunnel to 127.0.0.1, or unset SNK_HTTP_TOKEN"
        raise ServiceUnfit(f"SNK_HTTP_TOKEN would be sent unencrypted to {host}", hint=hint)


def ask(url: str, token: str | None = None) -> DaemonStatus:
    """What the daemon says of itself.

    Raises:
        OSError: it does not answer, or somebody else does.
    """
    return parse(fetch(url, token))


def fetch(url: str, token: str | None = None) -> bytes:
    """The daemon's answer to ``GET /status``, as it is.

    Raises:
        OSError: it does not answer.
    """
    request = urllib.request.Request(f"{url}/status")  # noqa: S310 - the user's own daemon
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    # A proxy on the way to a daemon without TLS would read the token.
    plain = [urllib.request.ProxyHandler({})] if request.type == "http" else []
    with urllib.request.build_opener(*plain).open(request, timeout=ANSWER_SECONDS) as answer:
        told: bytes = answer.read()
    return told


def parse(answer: bytes) -> DaemonStatus:
    """The status in an answer.

    Raises:
        OSError: there is none in it.
    """
    try:
        return _STATUS.validate_json(answer)
    except ValidationError as error:
        raise OSError("what answers there is not SNK, or another version of it") from error
