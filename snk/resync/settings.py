"""The settings of the re-sync: the table ``[resync]`` of the file of settings."""

from pathlib import Path

from pydantic import Field

from snk.errors import SettingsError
from snk.http.token import TokenSettings, check_tokens
from snk.resync.mapping import Mapping
from snk.settings import Secret, read_table
from snk.urls import check_files, check_postgres_url, check_redis_url


class HttpSettings(TokenSettings):
    """Where `snk resync watch` serves its pages, and the tokens of those who may see them."""

    host: str = "127.0.0.1"
    port: int = Field(8090, ge=0, le=65535)


class Resync(Mapping):
    """The table ``[resync]``.

    Attributes:
        database: PostgreSQL URL.
        redis: Redis URL; a cluster is recognised.
        grace_seconds: a difference counts if it is still there after so long.
        timeout_seconds: for connecting, and for an answer of Redis.
        statement_seconds: time limit for a statement of the database.
        most_rows: how many rows one repair may insert for one task.
    """

    database: Secret
    redis: Secret
    grace_seconds: float = Field(2.0, ge=0, le=600)
    timeout_seconds: float = Field(10.0, gt=0, le=600)
    statement_seconds: float = Field(120.0, gt=0, le=86400)
    most_rows: int = Field(1_000_000, ge=1, le=10_000_000)
    http: HttpSettings = HttpSettings()

    @property
    def database_dsn(self) -> str:
        """The PostgreSQL URL, with its password."""
        return self.database.get_secret_value()

    @property
    def redis_dsn(self) -> str:
        """The Redis URL, with its password."""
        return self.redis.get_secret_value()


def load_settings(given: Path | None = None) -> Resync:
    """Read the settings.

    Args:
        given: the file that is named on the command line.

    Raises:
        SettingsError: names each wrong setting, its value unless it is a secret, and what is right.
    """
    settings = read_table("resync", Resync, given)
    check_postgres_url("resync.database", settings.database_dsn)
    check_redis_url("resync.redis", settings.redis_dsn)
    check_files("resync.database", settings.database_dsn)
    check_files("resync.redis", settings.redis_dsn)
    for name in ("pointer", "source", "worker"):
        template = getattr(settings.keys, name)
        for place in ("task",) if name == "pointer" else ("task", name):
            if template.count(f"{{{place}}}") != 1:
                raise SettingsError(f"resync.keys.{name} is {template!r}", hint=f"It must hold {{{place}}} once")
    http = settings.http
    check_tokens("resync.http.token", http.operators_token, "resync.http.view_token", http.viewers_token)
    return settings
