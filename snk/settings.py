"""Everything changeable, read once from the environment and ``.env``.

The environment wins over ``.env``; a whole URL wins over its parts. Only the command line reads settings:
everything below it receives values.
"""

import difflib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from snk.errors import SettingsError

ENV_FILE = Path(".env")
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:\d*)?")


class Settings(BaseSettings):
    """One frozen value of every setting. Field names, upper case, are the names in the environment."""

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
    snk_batch_bytes: int = Field(16 * 2**20, ge=1, le=512 * 2**20)
    snk_poll_max_ms: int = Field(20, ge=1, le=60_000)
    snk_sweep_seconds: int = Field(300, ge=0)
    snk_http_host: str = "127.0.0.1"
    snk_http_port: int = Field(8089, ge=0, le=65535)
    snk_log_format: Literal["console", "json"] = "console"
    snk_log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def first_dsn(self) -> str:
        """Where database A is, as a PostgreSQL URL, with its password."""
        return self._dsn(self.first_db_url, self.first_db_host, self.first_db_port)

    @property
    def second_dsn(self) -> str:
        """Where database B is, as a PostgreSQL URL, with its password."""
        return self._dsn(self.second_db_url, self.second_db_host, self.second_db_port)

    @property
    def redis_dsn(self) -> str:
        """Where Redis is, as a URL, with its password if it has one."""
        if self.redis_url:
            return self.redis_url.get_secret_value()
        return f"redis://{_bracketed(self.redis_host)}:{self.redis_port}/0"

    @property
    def tables(self) -> tuple[str, ...]:
        """The names in SNK_TABLES, in their order, each once."""
        names = (name.strip() for name in self.snk_tables.split(","))
        return tuple(dict.fromkeys(name for name in names if name))

    def _dsn(self, url: SecretStr | None, host: str, port: int | None) -> str:
        if url:
            return url.get_secret_value()
        user, password, database = (
            quote(part, safe="")
            for part in (self.postgres_user, self.postgres_password.get_secret_value(), self.postgres_db)
        )
        return f"postgresql://{user}:{password}@{_bracketed(host)}:{port or self.db_port}/{database}"


def load_settings(env_file: Path = ENV_FILE) -> Settings:
    """Read the settings, or raise SettingsError naming each wrong setting, its value, and what would be right."""
    _refuse_unknown(env_file)
    try:
        settings = Settings(_env_file=env_file)
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(error))) from None
    _refuse_foreign_urls(settings)
    if not settings.tables:
        raise SettingsError(f"SNK_TABLES is {settings.snk_tables!r}", hint="Name at least one table")
    return settings


def _refuse_unknown(env_file: Path) -> None:
    """A mistyped SNK_* name would otherwise be a setting silently left at its default."""
    known = [name.upper() for name in Settings.model_fields if name.startswith("snk_")]
    given: Iterable[str] = {*os.environ, *dotenv_values(env_file)}
    for name in sorted(given):
        if name.upper().startswith("SNK_") and name.upper() not in known:
            nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)[0]
            raise SettingsError(f"There is no setting {name}", hint=f"The nearest one is {nearest}")


def _explain(error: ValidationError) -> Iterable[str]:
    for fault in error.errors():
        name = str(fault["loc"][0])
        secret = "SecretStr" in str(Settings.model_fields[name].annotation)
        value = "" if secret else f" is {fault['input']!r}"
        yield f"{name.upper()}{value}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"


def _refuse_foreign_urls(settings: Settings) -> None:
    for name, schemes in (
        ("first_db_url", ("postgresql", "postgres")),
        ("second_db_url", ("postgresql", "postgres")),
        ("redis_url", ("redis", "rediss", "unix")),
    ):
        url: SecretStr | None = getattr(settings, name)
        if url is None:
            continue
        scheme = _scheme(name, url.get_secret_value())
        if scheme not in schemes:
            hint = f"It is to begin with {schemes[0]}://"
            raise SettingsError(f"{name.upper()} has the scheme {scheme!r}", hint=hint)


def _scheme(name: str, url: str) -> str:
    """The scheme of a URL, if the rest of it can be read. The error never quotes it: it may hold a password."""
    with suppress(ValueError):
        parts = urlsplit(url)
        hosts = parts.netloc.rpartition("@")[2].split(",")
        if not parts.fragment and all(_HOST.fullmatch(host) for host in hosts):
            return parts.scheme
    hint = "It is scheme://user:password@host:port/..., with / # ? @ : % in a password percent-encoded"
    raise SettingsError(f"{name.upper()} is not a URL that can be read", hint=hint)


def _bracketed(host: str) -> str:
    """An IPv6 address needs brackets inside a URL."""
    return f"[{host}]" if ":" in host else host
