"""All settings of the pair, read once from the environment and a file.

The environment takes precedence over the file, and a URL over its parts. Only commands read settings: everything below
them receives values.
"""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from snk.errors import SettingsError
from snk.http.token import check_tokens
from snk.pair.core.budget import CONNECTIONS, LEAST_CONNECTIONS
from snk.pair.core.selection import Selection
from snk.settings import CONFIG_NAME
from snk.urls import check_host, check_postgres_url, check_redis_url

ENV_FILE = Path(".env")
ENV_FILE_NAME = "SNK_ENV_FILE"
OF_OTHER_SYSTEMS = (CONFIG_NAME,)
# Variables that container platforms set in every environment for a service named first-db, snk or snk-redis.
_INJECTED = re.compile(r"_SERVICE_HOST|_SERVICE_PORT(_\w+)?|_PORT_\d+_(TCP|UDP)(_\w+)?")
_OURS = ("SNK_", "FIRST_DB_", "SECOND_DB_")


class Settings(BaseSettings):
    """One frozen value of every setting. Field names in upper case are the names of environment variables."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE, env_file_encoding="utf-8", extra="ignore", frozen=True, env_ignore_empty=True
    )

    postgres_db: str = "postgres"
    postgres_user: str = "postgres"
    postgres_password: SecretStr = SecretStr("postgres")
    first_db_host: str = "first_db"
    second_db_host: str = "second_db"
    db_port: int = Field(5432, ge=1, le=65535)
    first_db_port: int | None = Field(None, ge=1, le=65535)
    second_db_port: int | None = Field(None, ge=1, le=65535)
    first_db_url: SecretStr | None = None
    second_db_url: SecretStr | None = None

    redis_host: str = "snk_redis"
    redis_port: int = Field(6379, ge=1, le=65535)
    redis_url: SecretStr | None = None

    snk_tables: str = Field("records", min_length=1)
    snk_batch_rows: int = Field(10000, ge=1, le=100_000)
    snk_batch_bytes: int = Field(8 * 2**20, ge=1, le=512 * 2**20)
    snk_connections: int = Field(CONNECTIONS, ge=LEAST_CONNECTIONS, le=1000)
    snk_poll_max_ms: int = Field(20, ge=1, le=60_000)
    snk_sweep_seconds: int = Field(300, ge=0)
    snk_sweep_share: float = Field(0.2, gt=0, le=1)
    snk_canary_seconds: float = Field(0, ge=0, le=3600)
    snk_http_host: str = "127.0.0.1"
    snk_http_port: int = Field(8089, ge=0, le=65535)
    snk_http_token: SecretStr | None = None
    snk_http_view_token: SecretStr | None = None
    snk_metrics_tables: bool = True
    snk_log_format: Literal["console", "json"] = "console"
    snk_log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def first_dsn(self) -> str:
        """The PostgreSQL URL of database A, with its password."""
        return self._dsn(self.first_db_url, self.first_db_host, self.first_db_port)

    @property
    def second_dsn(self) -> str:
        """The PostgreSQL URL of database B, with its password."""
        return self._dsn(self.second_db_url, self.second_db_host, self.second_db_port)

    @property
    def redis_dsn(self) -> str:
        """The URL of Redis, with its password if it has one."""
        if self.redis_url:
            return self.redis_url.get_secret_value()
        return f"redis://{_bracketed(self.redis_host)}:{self.redis_port}/0"

    @property
    def selection(self) -> Selection:
        """The tables that SNK_TABLES selects; `snk.pair.core.selection` explains how to write it."""
        return Selection.of(self.snk_tables)

    @property
    def http_token(self) -> str | None:
        """The token that HTTP clients of the daemon must send, if set."""
        return self.snk_http_token.get_secret_value() if self.snk_http_token else None

    @property
    def http_view_token(self) -> str | None:
        """The token of clients that may look and change nothing, if set."""
        return self.snk_http_view_token.get_secret_value() if self.snk_http_view_token else None

    def _dsn(self, url: SecretStr | None, host: str, port: int | None) -> str:
        if url:
            return url.get_secret_value()
        user, password, database = (
            quote(part, safe="")
            for part in (self.postgres_user, self.postgres_password.get_secret_value(), self.postgres_db)
        )
        return f"postgresql://{user}:{password}@{_bracketed(host)}:{port or self.db_port}/{database}"


def load_settings(env_file: Path | None = None) -> Settings:
    """Read the settings.

    Args:
        env_file: read this file instead of the one that SNK_ENV_FILE names, or ``.env``.

    Raises:
        SettingsError: names each invalid setting, its value, and what is valid.
    """
    env_file = env_file or _env_file()
    _refuse_unknown(env_file)
    try:
        settings = Settings(_env_file=env_file)
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(error))) from None
    _check_urls(settings)
    try:
        selection = settings.selection
    except ValueError as error:
        hint = 'Write it like orders, sales.lines, app.*, !app.audit_*, "with, comma"."and.dot"'
        raise SettingsError(f"SNK_TABLES is {settings.snk_tables!r}: {error}", hint=hint) from None
    if not (selection.exact or selection.patterns):
        raise SettingsError(f"SNK_TABLES is {settings.snk_tables!r}", hint="List at least one table")
    check_tokens("SNK_HTTP_TOKEN", settings.http_token, "SNK_HTTP_VIEW_TOKEN", settings.http_view_token)
    return settings


def _env_file() -> Path:
    named = os.environ.get(ENV_FILE_NAME)
    if not named:
        return ENV_FILE
    if not os.access(named, os.R_OK):
        raise SettingsError(
            f"{ENV_FILE_NAME} is {named!r}, which cannot be read", hint="Name a file of NAME=value lines"
        )
    return Path(named)


def _refuse_unknown(env_file: Path) -> None:
    """Refuse unknown names, because a mistyped setting would otherwise silently keep its default.

    Only names with a prefix that nothing else uses are certainly meant for SNK; ``POSTGRES_*`` and ``REDIS_*`` are not.
    """
    known = [*(name.upper() for name in Settings.model_fields), ENV_FILE_NAME, *OF_OTHER_SYSTEMS]
    given: Iterable[str] = {*os.environ, *dotenv_values(env_file)}
    for name in sorted(given):
        ours = name.upper().startswith(_OURS) and not _INJECTED.search(name.upper())
        if ours and name.upper() not in known:
            nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)[0]
            raise SettingsError(f"There is no setting {name}", hint=f"The nearest one is {nearest}")


def _explain(error: ValidationError) -> Iterable[str]:
    for fault in error.errors():
        name = str(fault["loc"][0])
        secret = "SecretStr" in str(Settings.model_fields[name].annotation)
        value = "" if secret else f" is {fault['input']!r}"
        yield f"{name.upper()}{value}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"


def _check_urls(settings: Settings) -> None:
    for name in ("first_db_host", "second_db_host", "redis_host"):
        check_host(name.upper(), getattr(settings, name))
    if settings.first_db_url:
        check_postgres_url("FIRST_DB_URL", settings.first_dsn)
    if settings.second_db_url:
        check_postgres_url("SECOND_DB_URL", settings.second_dsn)
    if settings.redis_url:
        check_redis_url("REDIS_URL", settings.redis_dsn)


def _bracketed(host: str) -> str:
    """The host as it appears in a URL: IPv6 addresses need brackets."""
    return f"[{host}]" if ":" in host else host
