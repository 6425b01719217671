"""The addresses of the two databases, read once from the environment and ``.env``.

The names are those of the whole deployment, so that one ``.env`` serves all of it. TST ignores names that do not
concern the two databases. The environment takes precedence over ``.env``, and a whole URL over its parts.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tst.errors import Stop

ENV_FILE = Path(".env")


class Settings(BaseSettings):
    """All settings, in one frozen value. The names in the environment are the field names in upper case."""

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

    @property
    def first_dsn(self) -> str:
        """The PostgreSQL URL of the first database, including its password."""
        return self._dsn(self.first_db_url, self.first_db_host, self.first_db_port)

    @property
    def second_dsn(self) -> str:
        """The PostgreSQL URL of the second database, including its password."""
        return self._dsn(self.second_db_url, self.second_db_host, self.second_db_port)

    def _dsn(self, url: SecretStr | None, host: str, port: int | None) -> str:
        if url:
            return url.get_secret_value()
        user, password, database = (
            quote(part, safe="")
            for part in (self.postgres_user, self.postgres_password.get_secret_value(), self.postgres_db)
        )
        address = f"[{host}]" if ":" in host else host  # an IPv6 address needs brackets inside a URL
        return f"postgresql://{user}:{password}@{address}:{port or self.db_port}/{database}"


def load_settings(env_file: Path = ENV_FILE) -> Settings:
    """Read the settings.

    Raises:
        Stop: a setting is wrong; the text gives its name, how to fix it, and its value unless that is a secret.
    """
    try:
        settings = Settings(_env_file=env_file)
    except ValidationError as error:
        raise Stop("; ".join(_explain(error))) from None  # the cause would show the secrets
    for name in ("first_db_url", "second_db_url"):
        _refuse_unusable(name, getattr(settings, name))
    return settings


def address(dsn: str) -> str:
    """``host:port/database`` of a PostgreSQL URL, for messages: without user, password and options."""
    parts = urlsplit(dsn)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def _explain(error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        name = str(fault["loc"][0])
        secret = "SecretStr" in str(Settings.model_fields[name].annotation)
        value = "" if secret else f" is {fault['input']!r}"
        yield f"{name.upper()}{value}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"


def _refuse_unusable(name: str, url: SecretStr | None) -> None:
    if url is None:
        return
    text = url.get_secret_value()
    wrong = f"{name.upper()} cannot be read as a URL: is the port a number, is the password percent-encoded?"
    try:
        parts = urlsplit(text)
        _ = parts.port if "," not in parts.netloc else 0  # the driver parses several hosts
    except ValueError:
        raise Stop(wrong) from None  # the cause may quote the password
    if parts.scheme not in {"postgresql", "postgres"}:
        raise Stop(f"{name.upper()} has the scheme {parts.scheme!r}: use postgresql://")
    # A / ? or # in a password ends the host part too early, and what follows would be shown as if it were a path.
    if "@" in text and "@" not in parts.netloc:
        raise Stop(wrong)
