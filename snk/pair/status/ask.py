"""Query a running daemon over HTTP."""

import urllib.request
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from snk.errors import ServiceUnfit
from snk.http.door import is_loopback
from snk.pair.core.report import DaemonStatus

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to reach a daemon that listens on all addresses
ANSWER_SECONDS = 3.0

_STATUS = TypeAdapter(DaemonStatus)


def daemon_url(host: str, port: int) -> str:
    """The URL of a daemon that listens on this address of this machine."""
    host = WILDCARDS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_url(url: str, token: str | None) -> None:
    """Refuse a URL given by the user if it contains a password or would expose the token.

    Raises:
        ServiceUnfit: what is wrong with the URL, without quoting it.
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
    """The daemon's status.

    Raises:
        OSError: the daemon does not answer, or another service does.
    """
    return parse(fetch(url, token))


def fetch(url: str, token: str | None = None) -> bytes:
    """The daemon's answer to ``GET /status``, unparsed.

    Raises:
        OSError: the daemon does not answer.
    """
    request = urllib.request.Request(f"{url}/status")  # noqa: S310 - the user's own daemon
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    # Without TLS, a proxy between client and daemon could read the token.
    plain = [urllib.request.ProxyHandler({})] if request.type == "http" else []
    with urllib.request.build_opener(*plain).open(request, timeout=ANSWER_SECONDS) as answer:
        told: bytes = answer.read()
    return told


def parse(answer: bytes) -> DaemonStatus:
    """Parse the status from an answer.

    Raises:
        OSError: the answer does not contain a status.
    """
    try:
        return _STATUS.validate_json(answer)
    except ValidationError as error:
        raise OSError("what answers there is not SNK, or another version of it") from error
