"""The settings of the portal: the table ``[portal]`` of the file of settings."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from yarl import URL

from snk.errors import SettingsError
from snk.http.door import is_loopback
from snk.http.token import TokenSettings, check_tokens
from snk.settings import Secret, SettingsTable, read_table

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


def _named(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("write it in lower-case letters, digits and hyphens, such as orders-eu")
    return name


def _reached(url: str) -> str:
    parts = URL(url)
    if parts.scheme not in ("http", "https") or not parts.host or parts.user or parts.password:
        raise ValueError("write it like http://127.0.0.1:8089, without a user")
    if parts.path not in ("", "/") or parts.query_string:
        raise ValueError("write it without a path")
    return url.rstrip("/")


class Process(SettingsTable):
    """A process whose pages are shown.

    Attributes:
        name: in the address of its pages.
        url: of its status service.
        token: what it asks for, if it does: of an operator, or of somebody who may only look.
    """

    name: Annotated[str, AfterValidator(_named)]
    url: Annotated[str, AfterValidator(_reached)]
    token: Secret | None = None


class Portal(TokenSettings):
    """The table ``[portal]``."""

    host: str = "127.0.0.1"
    port: int = Field(8088, ge=0, le=65535)
    processes: tuple[Process, ...] = Field(min_length=1)


def load_settings(given: Path | None = None) -> Portal:
    """Read the settings.

    Args:
        given: the file that is named on the command line.

    Raises:
        SettingsError: names each wrong setting, its value unless it is a secret, and what is right.
    """
    settings = read_table("portal", Portal, given)
    names = [process.name for process in settings.processes]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SettingsError(f"portal.processes has the name {twice!r} twice", hint="Give each a name of its own")
    check_tokens("portal.token", settings.operators_token, "portal.view_token", settings.viewers_token)
    for process in settings.processes:
        _check_way(process)
    return settings


def _check_way(process: Process) -> None:
    """Refuse to send a token unencrypted to another machine."""
    url = URL(process.url)
    if process.token and url.scheme == "http" and not is_loopback(url.host or ""):
        hint = "Use https://, or a tunnel to 127.0.0.1"
        raise SettingsError(f"The token of {process.name} would be sent unencrypted to {url.host}", hint=hint)
