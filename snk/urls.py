"""Checks of URLs in the settings: whether a URL is valid, and whether its TLS parameters take effect.

No error quotes a URL, because it may contain a password, which may be anywhere in an invalid URL.
"""

import os
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

from snk.errors import SettingsError

_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:\d*)?")
_PLAIN_HOST = re.compile(r"[^\s/?#@\[\],%]+")
_FILES = {
    "postgresql": ("sslrootcert", "sslcert", "sslkey", "sslcrl"),
    "redis": ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"),
}
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
CHECKING_MODES = SSL_MODES[3:]


def check_postgres_url(name: str, url: str) -> None:
    """Refuse a URL that does not lead to a PostgreSQL server, or whose certificate parameters have no effect.

    Raises:
        SettingsError: what is wrong with the setting of this name.
    """
    given = _query(name, _read(name, url, ("postgresql", "postgres")))
    mode = given.get("sslmode") or os.environ.get("PGSSLMODE") or "prefer"
    if mode not in SSL_MODES:
        raise SettingsError(f"{name} has the sslmode {mode!r}", hint=f"Use one of {', '.join(SSL_MODES)}")
    if given.get("sslrootcert") and mode not in CHECKING_MODES:
        hint = "Use sslmode=verify-full to verify the server; verify-ca and require do not verify its name"
        raise SettingsError(f"{name} has an sslrootcert, and sslmode {mode} ignores it", hint=hint)


def check_redis_url(name: str, url: str) -> None:
    """Refuse a URL that does not lead to a Redis server.

    Raises:
        SettingsError: what is wrong with the setting of this name.
    """
    parts = _read(name, url, ("redis", "rediss", "unix"))
    given = _query(name, parts)
    if parts.scheme != "rediss" and any(key.startswith("ssl_") for key in given):
        raise SettingsError(f"{name} has TLS parameters, and {parts.scheme}:// does not use TLS", hint="Use rediss://")
    try:
        parts.port  # noqa: B018 - reading the port validates it
    except ValueError:
        raise SettingsError(f"{name} has an invalid port", hint="Use a number up to 65535") from None
    database = parts.path.removeprefix("/")
    if parts.scheme != "unix" and database and not (database.isascii() and database.isdecimal()):
        raise SettingsError(f"{name} has a database that is not a number", hint="Write it as in redis://host/0")
    if given:
        _check_parameters(name, url, given)


def _check_parameters(name: str, url: str, given: dict[str, str]) -> None:
    # Only Redis's own client knows its parameters, and importing it takes a tenth of a second.
    from redis.asyncio import ConnectionPool  # noqa: PLC0415
    from redis.exceptions import RedisError  # noqa: PLC0415

    try:
        ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call]
    except (RedisError, ValueError, TypeError) as error:
        wrong = [key for key in given if f"'{key}'" in str(error)] or [key for key in given if key in str(error)]
        what = f"has an invalid {wrong[0]}" if wrong else "is not a valid URL"
        raise SettingsError(f"{name} {what}", hint="Use the parameters of redis-py's from_url") from None


def check_host(name: str, host: str) -> None:
    """Refuse a host that would have another meaning inside a URL."""
    if not _PLAIN_HOST.fullmatch(host):
        raise SettingsError(f"{name} is not a host name or address", hint=f"{name[:-5]}_URL accepts more")


def check_files(name: str, url: str) -> None:
    """Refuse a URL that names a certificate file that cannot be read.

    Raises:
        SettingsError: which parameter, and which file.
    """
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query))
    for key in _FILES["redis" if parts.scheme == "rediss" else "postgresql"]:
        if key in given and not os.access(path := Path(given[key]), os.R_OK):
            hint = "Name a PEM file that this user may read"
            raise SettingsError(f"{name}: {key} is {str(path)!r}, which cannot be read", hint=hint)


def _read(name: str, url: str, schemes: tuple[str, ...]) -> SplitResult:
    with suppress(ValueError):
        parts = urlsplit(url)
        login, _, address = parts.netloc.rpartition("@")
        elsewhere = f"{login}{parts.path}{parts.query}"
        readable = parts.scheme and url[len(parts.scheme) :].startswith("://") and not parts.fragment
        if readable and "@" not in elsewhere and all(_HOST.fullmatch(host) for host in address.split(",")):
            if parts.scheme in schemes:
                return parts
            hint = f"Use {schemes[0]}://"
            raise SettingsError(f"{name} has the scheme {parts.scheme!r}", hint=hint)
    hint = "Write it as scheme://user:password@host:port/..., and percent-encode / # ? @ : % in the password"
    raise SettingsError(f"{name} is not a valid URL", hint=hint)


def _query(name: str, parts: SplitResult) -> dict[str, str]:
    try:
        return dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)) if parts.query else {}
    except ValueError:
        hint = "Write them as ?name=value&name=value, and percent-encode & and = in a value"
        raise SettingsError(f"{name} has invalid parameters", hint=hint) from None
